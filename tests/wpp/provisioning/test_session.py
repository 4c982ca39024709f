"""What a call sends for a session that runs, beside reading its state, and which failure of that counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.alone import BEGIN, LOOK, PATCH, REFUSED_KEY, UNKNOWN, WEBHOOK_HASH, Alone, answer
from wpp.errors import KeyRefused, SessionGone
from wpp.platform.state import SessionState, State
from wpp.provisioning.client import ensure_token, stored_client, wait_for_token
from wpp.provisioning.idempotency import KeyedRequest
from wpp.provisioning.look import look
from wpp.provisioning.options import Target
from wpp.provisioning.session import Session
from wpp.provisioning.unscanned_qrs import unscanned_warning
from wpp.runtime import Memory

if TYPE_CHECKING:
    from wpp.supabase.rows import Integration

UNSCANNED = (
    "three QRs in a row were not scanned to the end: if the phone asks for a passkey or says 'Continue on WhatsApp Web', "
    "the platform may be unable to answer it; link the number from a phone without a passkey"
)


@pytest.fixture
def row(alone: Alone) -> Integration:
    return alone.connected_before(wppQrShown=True)


def inactive(alone: Alone) -> Integration:
    alone.supabase.execute("update messenger_integrations set is_active = false where id = %s", alone.row()["id"])
    return alone.stored()


def test_a_session_that_needs_nothing_takes_one_round_trip(alone: Alone, row: Integration) -> None:
    connected = alone.connect(row)
    assert connected.state == (State.QR_REQUIRED, alone.platform.qr(alone.session()), None)
    assert connected.session.row == row
    assert connected.session.credentials == (row.settings["wppApiKey"], row.settings["wppAccountNumber"])
    assert [(sent.call, sent.timeout) for sent in alone.sent] == [("qr", 3), ("status", 8)]
    assert alone.settings() == row.settings


def test_an_inactive_row_is_switched_on_beside_that(alone: Alone, row: Integration) -> None:
    connected = alone.connect(inactive(alone))
    assert connected.session.row.is_active
    assert alone.row()["is_active"]
    assert alone.calls() == [PATCH, *LOOK]


def test_a_row_that_cannot_be_switched_on_is_no_connection(alone: Alone, row: Integration) -> None:
    found = inactive(alone)
    alone.instead(PATCH, *[answer(500)] * 6)
    assert alone.outcome(lambda: alone.connect(found)).startswith("UpstreamBroken")


def test_what_else_cannot_be_saved_is_no_failure(alone: Alone, row: Integration) -> None:
    alone.write(wppDisconnected=True)
    alone.instead(PATCH, *[answer(500)] * 6)
    assert alone.connect(alone.stored()).state.state is State.QR_REQUIRED
    assert alone.settings()["wppDisconnected"] is True
    alone.passed += 5
    alone.calls()
    alone.connect(alone.stored())
    assert alone.calls() == [PATCH, *LOOK]
    assert "wppDisconnected" not in alone.settings()


@pytest.mark.parametrize("pending", [{"wppWebhookPending": True}, {"wppWebhookHash": "of another address"}])
def test_a_webhook_that_the_platform_lacks_is_registered_beside_that(
    alone: Alone, row: Integration, pending: dict[str, Any]
) -> None:
    alone.write(**pending)
    alone.connect(alone.stored())
    assert alone.calls() == ["webhook", *LOOK, PATCH]
    assert alone.settings() == {**row.settings, "wppWebhookHash": WEBHOOK_HASH}


def test_a_request_with_a_key_is_noted(alone: Alone, row: Integration) -> None:
    alone.connect(row, keyed=KeyedRequest("fingerprint", "plain"))
    noted = {"fingerprint": {"options": "plain", "at": (BEGIN + 120) * 1000}}
    assert alone.settings() == {**row.settings, "wppRequests": noted}


def test_an_unknown_session_is_an_error_unless_that_counts_as_ended(alone: Alone, row: Integration) -> None:
    invocation = alone.begin()
    alone.instead("status", UNKNOWN, UNKNOWN)
    with pytest.raises(SessionGone):
        Session(invocation, stored_client(invocation, row)).ensure_started()
    state = Session(invocation, stored_client(invocation, row)).ensure_started(unknown_is_ended=True)
    assert state.state is State.STARTING
    assert alone.session().starts == 2


@pytest.mark.parametrize(("is_ended", "is_kept"), [(True, True), (False, False)])
def test_the_claim_of_a_dead_start_goes_once_the_session_is_known_to_run(
    alone: Alone, row: Integration, is_ended: bool, is_kept: bool
) -> None:
    alone.write(wppClaim={"id": "theirs", "beat": 1, "doing": "start"})
    alone.runtime.memory.claims_seen.put(row.id, ("theirs", 1, 4000.0))
    if is_ended:
        alone.platform.disconnect(alone.session().name)
        alone.instead(PATCH, *[answer(500)] * 6)
        assert alone.outcome(lambda: alone.connect(alone.stored())).startswith("UpstreamBroken")
    else:
        alone.connect(alone.stored())
    assert ("wppClaim" in alone.settings()) is is_kept


def test_the_claim_of_a_dead_start_stays_while_the_session_may_have_to_be_started(
    alone: Alone, row: Integration
) -> None:
    theirs = {"id": "theirs", "beat": 1, "doing": "start"}
    alone.write(wppClaim=theirs)
    alone.runtime.memory.claims_seen.put(row.id, ("theirs", 1, 4000.0))
    alone.platform.disconnect(alone.session().name)
    alone.instead("status", lambda: alone.write(wppDisconnected=True))  # so this call does not start it
    alone.connect(alone.stored(), keyed=KeyedRequest("fingerprint", "plain"))
    assert alone.settings()["wppClaim"] == theirs


def test_three_qrs_that_nobody_scanned_are_told_of(alone: Alone, row: Integration) -> None:
    warnings = []
    for text in ("1", "2", "3"):
        alone.instead("qr", answer(200, {"qr": text}))
        warnings.append(alone.connect(row).invocation.warnings)
    assert warnings == [[], [], [UNSCANNED]]
    other = alone.begin()
    alone.instead("qr", answer(200, {"qr": "4"}))
    look(other, alone.token, Target())  # by a page that polls
    assert other.warnings == [UNSCANNED]


def test_a_state_that_warns_is_told_of(alone: Alone, row: Integration) -> None:
    alone.platform.report(alone.session().name, "PROXYBLOCK")
    warning = "the platform reports 'PROXYBLOCK': the session cannot be started"
    assert alone.connect(row).invocation.warnings == [warning]


def test_unscanned_qrs_are_counted_for_each_session_until_a_phone_is_linked() -> None:
    memory = Memory()

    def see(*states: SessionState, key: str = "key") -> list[str | None]:
        return [unscanned_warning(memory, key, state) for state in states]

    one, two, three, four = [SessionState(State.QR_REQUIRED, f"2@{number}") for number in range(4)]
    starting = SessionState(State.STARTING)
    assert see(one, one, two, starting, two, three, starting, four) == [*[None] * 5, *[UNSCANNED] * 3]
    assert see(one, two, key="another") == [None, None]
    for linked in (State.CONNECTED, State.PAIRING):
        assert see(SessionState(linked), starting, one, two, three) == [*[None] * 4, UNSCANNED]
    assert see(SessionState(State.QR_REQUIRED, "half a pair: \ud800")) == [UNSCANNED]
    last = memory.unscanned.get("key")
    assert last
    assert "2@" not in last[0]


# The token


def test_a_stored_token_is_used_without_a_request(alone: Alone, row: Integration) -> None:
    alone.runtime.memory.clear()
    invocation = alone.begin()
    ensure_token(invocation, stored_client(invocation, row))
    assert alone.calls() == []


@pytest.mark.parametrize(("age", "is_waited_for"), [(59, True), (-59, True), (60, False), (-60, False), (None, False)])
def test_a_key_that_was_just_issued_may_be_refused_for_a_while(
    alone: Alone, row: Integration, age: int | None, is_waited_for: bool
) -> None:
    alone.runtime.memory.clear()
    issued = None if age is None else (BEGIN + 120 - age) * 1000
    alone.write(wppJwtToken=None, wppApiKeyIssuedAt=issued)
    invocation = alone.begin()
    alone.instead("token", REFUSED_KEY)
    client = stored_client(invocation, alone.stored())
    if is_waited_for:
        ensure_token(invocation, client)
        assert (alone.waits, alone.calls()) == ([0.2], ["token", "token"])
    else:
        with pytest.raises(KeyRefused):
            ensure_token(invocation, client)


def test_a_fresh_keys_stored_token_is_used_without_a_request(alone: Alone, row: Integration) -> None:
    alone.write(wppApiKeyIssuedAt=(BEGIN + 120) * 1000)
    invocation = alone.begin()
    ensure_token(invocation, stored_client(invocation, alone.stored()))
    assert alone.calls() == []


def test_a_new_key_that_is_refused_after_ten_seconds_is_not_tried_again(alone: Alone, row: Integration) -> None:
    alone.runtime.memory.clear()
    alone.write(wppJwtToken=None)
    invocation = alone.begin()
    platform = stored_client(invocation, alone.stored()).platform
    alone.takes("token", 4.9)
    alone.instead("token", *[REFUSED_KEY] * 9)
    with pytest.raises(KeyRefused):
        wait_for_token(invocation, platform)
    assert alone.waits == [0.2]


@pytest.mark.parametrize(("refusals", "seconds"), [(7, 9.0), (8, 11.0)])
def test_a_new_key_is_tried_for_ten_seconds(alone: Alone, row: Integration, refusals: int, seconds: float) -> None:
    alone.runtime.memory.clear()
    alone.write(wppJwtToken=None)
    invocation = alone.begin()
    platform = stored_client(invocation, alone.stored()).platform
    alone.instead("token", *[REFUSED_KEY] * (refusals + (refusals > 7)))
    if refusals > 7:
        with pytest.raises(KeyRefused):
            wait_for_token(invocation, platform)
    else:
        wait_for_token(invocation, platform)
    assert sum(alone.waits) == pytest.approx(seconds)


def test_a_new_key_for_which_no_time_is_left_says_so(alone: Alone, row: Integration) -> None:
    alone.runtime.memory.clear()
    alone.write(wppJwtToken=None)
    invocation = alone.begin(1)
    platform = stored_client(invocation, alone.stored()).platform
    alone.instead("token", *[REFUSED_KEY] * 9)
    text = "DeadlinePassed: Time ran out while waiting for the platform to accept the new key; try again"
    assert alone.outcome(lambda: wait_for_token(invocation, platform)) == text


def test_a_row_without_credentials_has_no_client(alone: Alone) -> None:
    row = alone.insert(settings={})
    with pytest.raises(ValueError, match="the row has no credentials") as caught:
        stored_client(alone.begin(), row)
    assert str(caught.value) == "the row has no credentials"
