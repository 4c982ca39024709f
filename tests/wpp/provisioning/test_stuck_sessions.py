"""What is sent to restart a session that does not get to its QR, and what the row says of it afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.alone import BEGIN, GET, LOOK, LOST, PATCH, Alone, answer, started
from wpp.platform.state import State

if TYPE_CHECKING:
    from wpp.supabase.rows import Integration


@pytest.fixture
def stuck(alone: Alone) -> Integration:
    row = alone.connected_before()
    alone.platform.stick(alone.session().name)
    return row


def test_a_stuck_session_is_stopped_and_started_again(alone: Alone, stuck: Integration) -> None:
    connected = alone.connect(stuck)
    assert connected.state.state is State.STARTING
    assert connected.invocation.upstream.trace.events == {"start": 1, "restart": 1}
    assert connected.invocation.warnings == ["the session did not get to its QR and was started again"]
    assert alone.settings() == started(stuck, wppRestarts=1)
    saved = [sent.payload["settings"] for sent in alone.sent if sent.call == PATCH][1]
    assert saved["wppClaim"]["doing"] == "restart"
    assert (saved["wppStartedAt"], saved["wppRestarts"]) == ((BEGIN + 120) * 1000, 1)
    times = [(sent.call, sent.timeout) for sent in alone.sent]
    assert times == [
        ("qr", 3), ("status", 8), (PATCH, 8), (PATCH, 8), ("qr", 8), ("status", 8), ("stop", 5), ("webhook", 3),
        ("start", 8), (PATCH, 8),
    ]  # fmt: skip


@pytest.mark.parametrize(("seconds", "is_due"), [(90, True), (89, False)])
def test_a_session_is_stuck_after_a_while(alone: Alone, stuck: Integration, seconds: int, is_due: bool) -> None:
    alone.write(wppStartedAt=(BEGIN + 120 - seconds) * 1000)
    alone.connect(alone.stored())
    assert ("stop" in alone.calls()) is is_due


def test_a_session_that_was_restarted_in_vain_is_told_of(alone: Alone, stuck: Integration) -> None:
    alone.write(wppStartedAt=(BEGIN + 30) * 1000, wppRestarts=1)
    warning = "the session was started again before and still has no QR; force_recreate replaces it"
    connected = alone.connect(alone.stored())
    assert connected.invocation.warnings == [warning]
    assert "stop" not in alone.calls()


@pytest.mark.parametrize(("seconds", "is_told"), [(90, True), (89, False)])
def test_a_session_whose_last_qr_may_have_been_scanned_is_told_of(
    alone: Alone, stuck: Integration, seconds: int, is_told: bool
) -> None:
    alone.write(wppStartedAt=(BEGIN + 120 - seconds) * 1000, wppQrShown=True)
    told = alone.connect(alone.stored()).invocation.warnings
    warning = (
        "the session does not get back to its QR, and is not started again by itself, as a phone may have scanned the last one; "
        "force_recreate replaces it"
    )
    assert told == ([warning] if is_told else [])
    assert "stop" not in alone.calls()


def test_a_number_that_was_paired_is_not_told_to_be_replaced(alone: Alone, stuck: Integration) -> None:
    alone.write(wppStartedAt=BEGIN * 1000, wppQrShown=True, wppPaired=True)
    assert alone.connect(alone.stored()).invocation.warnings == []


def test_a_session_that_has_its_qr_by_then_is_left_alone(alone: Alone, stuck: Integration) -> None:
    alone.instead("qr", None, answer(200, {"qr": "2@text"}))
    connected = alone.connect(stuck)
    assert connected.state == (State.QR_REQUIRED, "2@text", None)
    assert alone.settings() == started(stuck, wppQrShown=True)
    assert "stop" not in alone.calls()


def test_a_session_that_is_paired_by_then_is_left_alone(alone: Alone, stuck: Integration) -> None:
    alone.instead("status", None, answer(200, {"status": "pairing"}))
    connected = alone.connect(stuck)
    assert connected.state == (State.PAIRING, None, None)
    assert alone.settings()["wppPaired"] is True
    assert "stop" not in alone.calls()


def test_a_session_that_is_paired_by_then_has_no_qr_any_more(alone: Alone, stuck: Integration) -> None:
    alone.instead("status", None, answer(200, {"status": "pairing"}))
    alone.instead("qr", None, answer(200, {"qr": "2@text"}))
    assert alone.connect(stuck).state == (State.PAIRING, None, None)


def test_a_stuck_session_whose_row_somebody_changed_is_looked_at_again(alone: Alone, stuck: Integration) -> None:
    alone.instead("status", lambda: alone.write(theirs=1))
    alone.connect(stuck)
    assert alone.calls() == [
        *LOOK, PATCH, GET, PATCH, "status", PATCH, *LOOK, "stop", "webhook", "start", PATCH,
    ]  # fmt: skip


def test_a_session_is_stopped_only_by_whoever_holds_the_claim(alone: Alone, stuck: Integration) -> None:
    alone.takes("token", 5)
    alone.instead("stop", answer(401, {"error": "Invalid token"}))
    alone.connect(stuck)
    assert alone.calls()[6:10] == ["stop", "token", PATCH, "stop"]


def test_a_session_that_somebody_notes_as_paired_meanwhile_is_left_alone(alone: Alone, stuck: Integration) -> None:
    alone.instead("status", lambda: alone.write(wppPaired=True))
    assert alone.connect(stuck).state.state is State.STARTING
    assert "stop" not in alone.calls()


def test_a_session_that_is_noted_as_paired_under_the_claim_is_left_alone(alone: Alone, stuck: Integration) -> None:
    alone.instead(PATCH, None, lambda: alone.write(wppPaired=True))
    assert alone.connect(stuck).state.state is State.STARTING
    assert "stop" not in alone.calls()


def test_a_session_that_has_ended_by_then_is_only_started(alone: Alone, stuck: Integration) -> None:
    alone.instead("status", None, lambda: alone.platform.disconnect(alone.session().name))
    connected = alone.connect(stuck)
    assert connected.invocation.upstream.trace.events == {"start": 1}
    assert alone.calls() == [*LOOK, PATCH, PATCH, "qr", "status", "webhook", "start", PATCH]


def test_a_session_that_the_platform_does_not_know_to_stop_is_started(alone: Alone, stuck: Integration) -> None:
    alone.instead("stop", answer(404, {"error": "Session not found"}))
    assert alone.connect(stuck).invocation.upstream.trace.events == {"start": 1, "restart": 1}


def test_a_stop_is_sent_once_and_its_failure_is_only_told_of(alone: Alone, stuck: Integration) -> None:
    alone.instead("stop", LOST)
    connected = alone.connect(stuck)
    assert connected.state.state is State.STARTING
    assert connected.invocation.warnings == [
        "the session did not get to its QR and was started again",
        "the session does not get to its QR and could not be started again: WPP Platform broke the connection (stop)",
    ]
    assert alone.calls()[-4:-2] == ["status", "stop"]
    assert alone.settings() == started(stuck, wppRestarts=1)


def test_the_state_is_looked_at_again_if_the_claim_had_to_be_confirmed_before_the_stop(
    alone: Alone, stuck: Integration
) -> None:
    alone.instead("qr", None, lambda: setattr(alone, "passed", alone.passed + 4))
    alone.connect(stuck)
    assert alone.calls() == [
        *LOOK, PATCH, PATCH, *LOOK, PATCH, *LOOK, "stop", "webhook", "start", PATCH,
    ]  # fmt: skip
