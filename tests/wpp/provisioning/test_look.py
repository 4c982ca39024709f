"""What pages that poll get, for each thing that a row and its session may say, and that looking changes next to nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.alone import BEGIN, LOST, PATCH, UNKNOWN, Alone, answer
from wpp.errors import NumberNotFound
from wpp.provisioning.look import Look, look, qr_of
from wpp.provisioning.options import Target
from wpp.provisioning.service import connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from wpp.runtime import Invocation
    from wpp.supabase.rows import Integration

CALLER = ["auth.user", "rest.GET.profiles"]
KEYS = {"wppApiKey": "key_0123456789", "wppAccountNumber": "client_1"}


def seen(alone: Alone, target: Target = Target()) -> Look:  # noqa: B008
    return look(alone.begin(), alone.token, target)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("connected", ("connected", None)),
        ("starting", ("qr_pending", "The session is starting")),
        ("qr_required", ("qr_pending", "There is no QR yet")),
        ("pairing", ("qr_pending", "The QR was scanned, and the number is being connected")),
        ("passkey", ("qr_pending", "The phone asks for a passkey")),
        ("offline", ("disconnected", "The session has ended; connect the number again")),
        ("TOS_BLOCK", ("disconnected", "WhatsApp has blocked the session")),
    ],
)
def test_what_the_platform_reports_is_told_in_our_words(
    alone: Alone, row: Integration, word: str, expected: tuple[Any, str]
) -> None:
    alone.instead("status", answer(200, {"status": word}))
    alone.instead("qr", *[answer(200, {"qr": None})] * 2)
    found = seen(alone)
    assert found == Look(expected[0], None, row, expected[1])
    assert "start" not in alone.calls()


@pytest.mark.parametrize(
    ("doing", "status"), [("start", "qr_pending"), ("restart", "qr_pending"), ("create", "disconnected")]
)
def test_a_session_that_somebody_is_starting_has_not_ended(
    alone: Alone, row: Integration, doing: str, status: str
) -> None:
    alone.write(wppClaim={"id": "theirs", "beat": 1, "doing": doing})
    alone.instead("status", *[answer(200, {"status": "offline"})] * 2)
    assert seen(alone).status == status
    alone.passed += 6
    assert seen(alone).status == "disconnected"


@pytest.mark.parametrize(("seconds", "status"), [(9.9, "qr_pending"), (10, "disconnected")])
def test_a_start_is_given_the_time_to_take_effect(alone: Alone, row: Integration, seconds: float, status: str) -> None:
    alone.write(wppStartedAt=round((alone.clock.now() - seconds) * 1000))
    alone.instead("status", answer(200, {"status": "offline"}))
    assert seen(alone).status == status


def test_a_qr_is_told_with_its_row(alone: Alone, row: Integration) -> None:
    qr = alone.platform.qr(alone.session())
    assert seen(alone) == Look("qr_issued", qr, row, None)
    assert alone.calls() == [*CALLER, "qr", "status", PATCH]
    assert alone.settings() == {**row.settings, "wppQrShown": True}
    assert seen(alone).qrcode == qr
    assert alone.calls() == [*CALLER, "qr", "status"]


@pytest.mark.parametrize("shown_by", [look, qr_of])
def test_a_session_whose_qr_was_shown_by_a_look_is_not_restarted(
    alone: Alone, row: Integration, shown_by: Callable[[Invocation, str, Target], object]
) -> None:
    """Somebody scans it and closes the page. Later the session comes up again after a restart of the platform."""
    shown_by(alone.begin(), alone.token, Target())
    alone.platform.scan(alone.session().name)
    alone.platform.report(alone.session().name, "connecting")
    alone.passed += 86400
    alone.calls()
    assert connect(alone.begin(), alone.token).status == "starting"
    assert not {"stop", "start"} & set(alone.calls())


def test_a_renewed_token_and_a_pairing_are_saved_and_nothing_else(alone: Alone, row: Integration) -> None:
    alone.platform.revoke_tokens(alone.session().name)
    alone.platform.scan(alone.session().name)
    alone.write(wppWebhookPending=True, wppWebhookHash=None, wppRestarts=1, wppLost={"at": 1, "times": 1})
    before = alone.settings()
    assert seen(alone).status == "connected"
    assert alone.calls() == [*CALLER, "qr", "token", "qr", "status", PATCH]
    token = alone.runtime.memory.tokens.get(row.settings["wppApiKey"])
    assert token
    assert token.text != before["wppJwtToken"]
    renewed = {"wppJwtToken": token.text, "wppJwtExpiresAt": (BEGIN + 120 + 900) * 1000}
    assert alone.settings() == {**before, **renewed, "wppPaired": True}


def test_what_cannot_be_saved_is_found_out_again_by_the_next_look(alone: Alone, row: Integration) -> None:
    alone.platform.scan(alone.session().name)
    alone.instead(PATCH, *[answer(500)] * 6)
    with alone.logging():
        assert seen(alone).status == "connected"
    whose = alone.fields(code="supabase_unavailable")
    assert alone.logged == [("WARNING", "the connection's row could not be updated", whose)]
    alone.passed += 5
    assert seen(alone).status == "connected"
    assert alone.settings()["wppPaired"] is True


@pytest.mark.parametrize("columns", [{"settings": {**KEYS, "wppDisconnected": True}}, {"is_active": False}])
def test_a_disconnected_or_inactive_number_is_not_asked_about(alone: Alone, columns: dict[str, Any]) -> None:
    found = alone.insert(**{"settings": KEYS, **columns})
    assert seen(alone) == Look("disconnected", None, found, "The number is disconnected; connect it again")
    assert alone.calls() == CALLER


def test_a_number_without_a_client_is_to_be_connected_unless_somebody_is_at_work_on_it(alone: Alone) -> None:
    found = alone.insert(settings={"theirs": 1})
    assert seen(alone) == Look("disconnected", None, found, "The number was not created yet; connect it")
    alone.write(wppClaim={"id": "theirs", "beat": 1, "doing": "create"})
    found = alone.stored()
    assert seen(alone) == Look("qr_pending", None, found, "The number is being created")
    alone.passed += 6
    assert seen(alone).status == "disconnected"


@pytest.mark.parametrize("target", [Target(), Target("no such row"), Target(None, "no such session")])
def test_a_number_that_does_not_exist_is_disconnected(alone: Alone, target: Target) -> None:
    assert seen(alone, target) == Look("disconnected", None, None, "The organization has no such number")


def test_a_session_that_the_platform_does_not_know_twice_is_disconnected(alone: Alone, row: Integration) -> None:
    alone.instead("status", UNKNOWN, UNKNOWN)
    text = "WPP Platform does not know the session; connect the number again"
    assert seen(alone) == Look("disconnected", None, row, text)
    assert alone.waits == [5]
    assert alone.settings() == row.settings


def test_a_session_that_the_platform_does_not_know_for_a_moment_is_what_it_is_then(
    alone: Alone, row: Integration
) -> None:
    alone.instead("status", UNKNOWN)
    assert seen(alone).status == "qr_issued"


def test_a_session_that_is_being_started_may_not_be_known_yet(alone: Alone, row: Integration) -> None:
    alone.write(wppStartedAt=round((alone.clock.now() - 5) * 1000))
    alone.instead("status", UNKNOWN)
    assert seen(alone) == Look("qr_pending", None, alone.stored(), "The session is starting")
    assert alone.waits == []


def test_where_there_is_no_time_to_make_sure_the_look_may_be_repeated(alone: Alone, row: Integration) -> None:
    alone.instead("status", UNKNOWN)
    text = "DeadlinePassed: Time ran out while making sure of what the platform said about the number; try again"
    assert alone.outcome(lambda: look(alone.begin(4), alone.token, Target())) == text


def test_what_the_state_warns_of_is_told(alone: Alone, row: Integration) -> None:
    alone.instead("status", answer(200, {"status": "TOS_BLOCK"}))
    invocation = alone.begin()
    look(invocation, alone.token, Target())
    assert invocation.warnings == ["the platform reports 'TOS_BLOCK': the session cannot be started"]


def test_three_qrs_in_a_row_that_nobody_scanned_are_told_of(alone: Alone, row: Integration) -> None:
    warnings = []
    for text in ("1", "1", "2", "2", "3", "3", "4"):
        invocation = alone.begin()
        alone.instead("qr", answer(200, {"qr": text}))
        look(invocation, alone.token, Target())
        warnings.append(len(invocation.warnings))
    assert warnings == [0, 0, 0, 0, 1, 1, 1]


# The QR alone


def test_the_qr_of_a_number_is_read_alone(alone: Alone, row: Integration) -> None:
    qr = alone.platform.qr(alone.session())
    assert qr_of(alone.begin(), alone.token, Target(None, alone.session().name)) == qr
    assert alone.calls() == [*CALLER, "qr", PATCH]
    assert alone.settings() == {**row.settings, "wppQrShown": True}
    alone.instead("qr", answer(200, {"qr": None}))
    assert qr_of(alone.begin(), alone.token, Target()) is None
    assert alone.calls() == [*CALLER, "qr"]


def test_a_renewed_token_is_saved_also_then_and_while_somebody_is_at_work(alone: Alone, row: Integration) -> None:
    alone.platform.revoke_tokens(alone.session().name)
    theirs = {"id": "theirs", "beat": 1, "doing": "start"}
    alone.write(wppWebhookHash=None, wppClaim=theirs)
    before = alone.settings()
    qr_of(alone.begin(), alone.token, Target())
    assert alone.calls() == [*CALLER, "qr", "token", "qr", PATCH]
    changed = {name for name, value in alone.settings().items() if before.get(name) != value}
    assert changed == {"wppJwtToken", "wppJwtExpiresAt", "wppQrShown"}


@pytest.mark.parametrize(
    "columns", [{"settings": {}}, {"settings": {**KEYS, "wppDisconnected": True}}, {"is_active": False}]
)
def test_a_number_that_cannot_have_a_qr_is_not_asked_for_it(alone: Alone, columns: dict[str, Any]) -> None:
    alone.insert(**{"settings": KEYS, **columns})
    assert qr_of(alone.begin(), alone.token, Target()) is None
    assert alone.calls() == CALLER


@pytest.mark.parametrize("target", [Target(), Target("no such row"), Target(None, "no such session")])
def test_the_qr_of_a_number_that_does_not_exist_is_not_found(alone: Alone, target: Target) -> None:
    with pytest.raises(NumberNotFound):
        qr_of(alone.begin(), alone.token, target)


# Status and QR in one round trip


def test_a_qr_is_read_again_where_the_early_attempt_was_lost(alone: Alone, row: Integration) -> None:
    qr = alone.platform.qr(alone.session())
    alone.instead("qr", *[LOST] * 4)
    assert seen(alone).qrcode == qr
    tries = [sent.timeout for sent in alone.sent if sent.call == "qr"]
    assert tries == [3, pytest.approx(2.8), pytest.approx(2.4), pytest.approx(1.6), 8]


def test_a_refused_qr_is_an_error_only_where_there_should_be_one(alone: Alone, row: Integration) -> None:
    alone.instead("qr", answer(400), answer(400))
    assert alone.outcome(lambda: seen(alone)) == "UpstreamRefused: WPP Platform refused with status 400 (qr)"
    alone.instead("status", answer(200, {"status": "starting"}))
    assert seen(alone).message == "The session is starting"


def test_a_starting_session_that_has_a_qr_by_now_can_be_scanned(alone: Alone, row: Integration) -> None:
    alone.instead("status", answer(200, {"status": "starting"}))
    assert seen(alone).status == "qr_issued"


def test_the_qr_of_a_session_that_was_just_connected_is_not_asked_for(alone: Alone, row: Integration) -> None:
    alone.platform.scan(alone.session().name)
    for expected in (["qr", "status", PATCH], ["status"], ["status"]):
        assert seen(alone).status == "connected"
        assert alone.calls() == [*CALLER, *expected]
    alone.platform.disconnect(alone.session().name)
    assert seen(alone).status == "disconnected"
    assert alone.calls() == [*CALLER, "status"]
    alone.platform.start(alone.session())
    assert seen(alone).status == "qr_issued"
    assert alone.calls() == [*CALLER, "qr", "status"]


def test_a_session_that_needs_its_qr_although_it_was_just_connected_is_asked_for_it(
    alone: Alone, row: Integration
) -> None:
    alone.platform.scan(alone.session().name)
    seen(alone)
    alone.platform.disconnect(alone.session().name)
    alone.platform.start(alone.session())
    alone.calls()
    assert seen(alone).status == "qr_issued"
    assert [(sent.call, sent.timeout) for sent in alone.sent[2:]] == [("status", 8), ("qr", 8)]
