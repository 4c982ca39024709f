"""What is sent to disconnect a number, and what its row says afterwards."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.alone import BEGIN, GET, LOST, PATCH, TIMED_OUT, UNKNOWN, Alone, answer
from wpp.errors import CreationInProgress, NumberNotFound, SeveralNumbers
from wpp.provisioning.disconnect import disconnect, disconnect_row
from wpp.provisioning.options import Target
from wpp.provisioning.pauses import pause_after

if TYPE_CHECKING:
    from wpp.supabase.rows import Integration

CALLER = ["auth.user", "rest.GET.profiles"]
THEIRS = {"id": "theirs", "beat": 1, "doing": "create"}


def disconnected(alone: Alone, target: Target = Target()) -> Integration:  # noqa: B008
    return disconnect(alone.begin(), alone.token, target)


def test_a_number_is_stopped_under_a_claim_and_then_its_row_is_switched_off(alone: Alone, row: Integration) -> None:
    alone.write(wppStartedAt=1, wppRestarts=2, wppQrShown=True)
    assert disconnected(alone) == alone.stored()
    first, last = [sent.payload for sent in alone.sent if sent.call == PATCH]
    assert first["settings"]["wppClaim"]["doing"] == "disconnect"
    assert "is_active" not in first
    assert last["is_active"] is False
    assert alone.settings() == {**row.settings, "wppDisconnected": True}
    assert (alone.session().stops, alone.session().started_at) == (1, None)
    assert alone.calls() == [*CALLER, PATCH, "stop", PATCH]


def test_a_number_without_a_client_is_only_switched_off(alone: Alone) -> None:
    alone.insert(settings={"theirs": 1})
    assert not disconnected(alone).is_active
    assert alone.settings() == {"theirs": 1, "wppDisconnected": True}
    assert alone.calls() == [*CALLER, PATCH, PATCH]


def test_a_session_that_the_platform_does_not_know_counts_as_stopped(alone: Alone, row: Integration) -> None:
    alone.instead("stop", UNKNOWN)
    assert not disconnected(alone).is_active


def test_a_stop_that_fails_leaves_the_number_connected(alone: Alone, row: Integration) -> None:
    alone.instead("stop", *[LOST] * 4)
    text = "UpstreamBroken: WPP Platform broke the connection (stop)"
    assert alone.outcome(lambda: disconnected(alone)) == text
    assert (alone.row()["is_active"], alone.settings()) == (True, row.settings)


@pytest.mark.parametrize("though_refused", [True, False])
def test_a_stop_that_is_refused_counts_only_for_whoever_wants_it_to(
    alone: Alone, row: Integration, though_refused: bool
) -> None:
    alone.instead("stop", answer(400))
    invocation, text = alone.begin(), "WPP Platform refused with status 400 (stop)"
    if though_refused:
        assert not disconnect_row(invocation, row, though_refused=True).is_active
        assert invocation.warnings == [f"the session could not be stopped: {text}"]
    else:
        assert alone.outcome(lambda: disconnect_row(invocation, row)) == f"UpstreamRefused: {text}"


def test_a_refusal_of_supabase_is_an_error_for_everybody(alone: Alone, row: Integration) -> None:
    alone.takes("stop", 5)
    alone.instead("stop", answer(401, {"error": "Invalid token"}))
    alone.instead(PATCH, None, answer(400))
    outcome = alone.outcome(lambda: disconnect_row(alone.begin(), row, though_refused=True))
    assert outcome == f"UpstreamRefused: Supabase refused with status 400 ({PATCH})"


def test_a_session_is_stopped_only_by_whoever_holds_the_claim(alone: Alone, row: Integration) -> None:
    alone.takes(PATCH, 4)
    alone.takes("stop", 1)
    disconnected(alone)
    assert alone.calls() == [*CALLER, PATCH, PATCH, "stop", PATCH]


def test_a_number_whose_claim_is_taken_over_is_disconnected_once_the_other_is_done(
    alone: Alone, row: Integration
) -> None:
    alone.takes(PATCH, 4)
    released = [lambda: alone.write(wppClaim=None)]
    alone.instead(PATCH, None, lambda: alone.write(wppClaim=THEIRS))
    alone.instead(GET, None, *released)
    assert not disconnected(alone).is_active
    assert alone.session().stops == 1
    claims = [sent.payload["settings"].get("wppClaim") for sent in alone.sent if sent.call == PATCH]
    assert {claim["doing"] for claim in claims if claim} == {"disconnect"}
    assert "wppClaim" not in alone.settings()


# After a start


@pytest.mark.parametrize(("ago", "looks"), [(8, 5), (9.5, 2), (10, 0)])
def test_a_start_is_given_its_time_before_the_stop(alone: Alone, row: Integration, ago: float, looks: int) -> None:
    alone.write(wppStartedAt=round((BEGIN + 120 - ago) * 1000))
    alone.platform.disconnect(alone.session().name)
    disconnected(alone)
    assert alone.calls() == [*CALLER, PATCH, *["status"] * looks, "stop", PATCH]


def test_a_start_that_has_had_its_effect_is_not_waited_for(alone: Alone, row: Integration) -> None:
    alone.write(wppStartedAt=(BEGIN + 119) * 1000)
    disconnected(alone)
    assert alone.calls() == [*CALLER, PATCH, "status", "stop", PATCH]


def test_a_session_that_is_not_known_yet_may_still_be_starting(alone: Alone, row: Integration) -> None:
    alone.write(wppStartedAt=(BEGIN + 119) * 1000)
    alone.instead("status", UNKNOWN)
    disconnected(alone)
    assert alone.calls() == [*CALLER, PATCH, "status", "status", "stop", PATCH]


def test_a_start_of_somebody_who_died_is_given_its_time(alone: Alone, row: Integration) -> None:
    alone.platform.disconnect(alone.session().name)
    alone.write(wppClaim={**THEIRS, "doing": "start"})
    disconnected(alone)
    # Found dead after six seconds of waiting; its start may have been sent one second after it was seen.
    calls = alone.calls()
    looks, states = calls.count(GET), calls.count("status")
    assert sum(alone.waits[:looks]) == pytest.approx(6, abs=0.5)
    assert sum(alone.waits) == pytest.approx(11, abs=0.5)
    assert calls == [*CALLER, *[GET] * looks, PATCH, *["status"] * states, PATCH, "stop", PATCH]


# Somebody else at work


def test_whoever_waits_until_their_deadline_is_told_to_come_back(alone: Alone, row: Integration) -> None:
    alone.write(wppClaim=THEIRS)
    with pytest.raises(CreationInProgress) as caught:
        disconnect(alone.begin(4), alone.token, Target())
    assert caught.value.retry_after == 6
    assert alone.settings()["wppClaim"] == THEIRS


def test_somebody_whose_claim_beats_is_waited_for(alone: Alone, row: Integration) -> None:
    alone.write(wppClaim=THEIRS)
    alone.instead(GET, *[partial(alone.write, wppClaim={**THEIRS, "beat": beat}) for beat in range(60)])
    with pytest.raises(CreationInProgress):
        disconnected(alone)
    waited = [sum(alone.waits[:looks]) for looks in range(len(alone.waits))]
    assert alone.waits == pytest.approx([pause_after(seconds, 1) for seconds in waited])
    assert alone.calls() == [
        *CALLER,
        *[GET] * len(waited),
        GET,
    ]  # the last one to see whether a claim is to be released


def test_whoever_waits_goes_on_at_the_next_look_once_the_claim_is_gone(alone: Alone, row: Integration) -> None:
    alone.write(wppClaim=THEIRS)
    alone.instead(GET, None, lambda: alone.write(wppClaim=None))
    disconnected(alone)
    assert alone.calls() == [*CALLER, GET, GET, PATCH, "stop", PATCH]


@pytest.mark.parametrize(
    ("seconds", "error"),
    [
        (6.8, f"UpstreamTimeout: Supabase did not answer in time ({GET})"),
        (6.9, "CreationInProgress: The connection is being created by another request; try again shortly"),
    ],
)
def test_a_look_that_fails_is_an_error_unless_it_took_all_the_time(
    alone: Alone, row: Integration, seconds: float, error: str
) -> None:
    alone.write(wppClaim=THEIRS)
    alone.takes(GET, seconds)
    alone.instead(GET, TIMED_OUT, TIMED_OUT)
    assert alone.outcome(lambda: disconnect(alone.begin(8), alone.token, Target())) == error


def test_a_number_whose_row_is_deleted_meanwhile_is_not_found(alone: Alone, row: Integration) -> None:
    statement = "delete from messenger_integrations where id = %s"
    alone.instead(PATCH, lambda: alone.supabase.execute(statement, row.id))
    with pytest.raises(NumberNotFound):
        disconnected(alone)


def test_a_claim_that_cannot_be_placed_leaves_nothing_behind(alone: Alone, row: Integration) -> None:
    alone.instead(PATCH, *[answer(500)] * 6)
    assert alone.outcome(lambda: disconnected(alone)).startswith("UpstreamBroken")
    assert alone.settings() == row.settings


# Which number


@pytest.mark.parametrize("target", [Target(), Target("no such row"), Target(None, "no such session")])
def test_a_number_that_does_not_exist_is_not_found(alone: Alone, target: Target) -> None:
    with pytest.raises(NumberNotFound):
        disconnected(alone, target)


@pytest.mark.parametrize("named", ["by its row", "by its session", ""])
def test_one_of_several_numbers_has_to_be_named(alone: Alone, row: Integration, named: str) -> None:
    keys: dict[str, Any] = {"wppApiKey": "key_0123456789", "wppAccountNumber": "client_1"}
    alone.supabase.insert_row(organization_id=alone.organization_id, settings=keys)
    if not named:
        with pytest.raises(SeveralNumbers):
            disconnected(alone)
        return
    target = Target(row.id) if named == "by its row" else Target(None, row.settings["wppAccountNumber"])
    assert disconnected(alone, target).id == row.id
