"""What is sent to start an ended session, and what the row says of it afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.alone import BEGIN, GET, LOOK, LOST, LOST_AFTERWARDS, PATCH, TIMED_OUT, Alone, answer, started
from wpp.platform.state import State

if TYPE_CHECKING:
    from wpp.supabase.rows import Integration

SETTLING = ["status"] * 21  # every half second of ten
DEAD_START = {"id": "theirs", "beat": 1, "doing": "start"}


@pytest.fixture
def ended(alone: Alone) -> Integration:
    row = alone.connected_before()
    alone.platform.disconnect(alone.session().name)
    return row


def test_an_ended_session_is_started_under_a_claim(alone: Alone, ended: Integration) -> None:
    connected = alone.connect(ended)
    assert connected.state.state is State.STARTING
    assert alone.settings() == started(ended)
    assert connected.invocation.upstream.trace.events == {"start": 1}
    claims = [sent.payload["settings"].get("wppClaim") for sent in alone.sent if sent.call == PATCH]
    claim_id = claims[0]["id"]
    assert claims == [
        {"id": claim_id, "beat": 0, "doing": "start", "expiresAt": (BEGIN + 120 + 37) * 1000},
        None,
    ]
    times = [(sent.call, sent.timeout) for sent in alone.sent]
    assert times == [("qr", 3), ("status", 8), (PATCH, 8), ("webhook", 3), ("start", 8), (PATCH, 8)]


@pytest.mark.parametrize(("ago", "looks"), [(7, 7), (9.5, 2), (10, 0)])
def test_a_start_right_after_another_one_gives_that_one_the_rest_of_its_time(
    alone: Alone, ended: Integration, ago: float, looks: int
) -> None:
    alone.write(wppStartedAt=round((BEGIN + 120 - ago) * 1000))
    alone.connect(alone.stored())
    confirmed = [PATCH] if looks > 3 else []
    assert alone.calls() == [*LOOK, PATCH, *["status"] * looks, "webhook", *confirmed, "start", PATCH]


def test_a_session_that_runs_by_then_is_not_started_again(alone: Alone, ended: Integration) -> None:
    alone.write(wppStartedAt=(BEGIN + 113) * 1000)
    alone.instead("status", None, None, lambda: alone.platform.start(alone.session()))
    assert alone.connect(alone.stored()).state.state is State.QR_REQUIRED
    assert alone.calls() == [*LOOK, PATCH, "status", "status", PATCH]
    assert "wppClaim" not in alone.settings()


def test_a_row_that_somebody_changed_meanwhile_makes_the_state_worth_another_look(
    alone: Alone, ended: Integration
) -> None:
    alone.instead("status", lambda: alone.write(theirs=1))
    alone.connect(ended)
    assert alone.calls() == [*LOOK, PATCH, GET, PATCH, "status", "webhook", "start", PATCH]


def test_a_start_of_somebody_else_is_left_to_them(alone: Alone, ended: Integration) -> None:
    alone.instead("status", lambda: alone.write(wppClaim=DEAD_START))
    connected = alone.connect(ended)
    assert connected.state == (State.STARTING, None, None)
    assert connected.invocation.upstream.trace.events == {}
    assert alone.calls() == [*LOOK, PATCH, GET]


def test_a_session_whose_number_somebody_disconnects_meanwhile_is_not_started(alone: Alone, ended: Integration) -> None:
    alone.instead("status", lambda: alone.write(wppDisconnected=True))
    assert alone.connect(ended).state.state is State.STARTING
    assert "start" not in alone.calls()


def test_a_session_whose_number_was_disconnected_before_is_started(alone: Alone, ended: Integration) -> None:
    alone.write(wppDisconnected=True)
    alone.connect(alone.stored())
    assert alone.settings() == started(ended)


def test_a_session_of_credentials_that_were_replaced_meanwhile_is_not_started(alone: Alone, ended: Integration) -> None:
    alone.instead("status", lambda: alone.write(wppApiKey="key_of_another"))
    assert alone.connect(ended).state.state is State.STARTING
    assert "start" not in alone.calls()


@pytest.mark.parametrize(("seconds", "looks"), [(6.0, 11), (9.0, 5), (10.9, 2), (11.0, 1)])
def test_whoever_takes_over_a_start_gives_it_ten_seconds_and_the_one_in_which_it_may_have_been_sent(
    alone: Alone, ended: Integration, seconds: float, looks: int
) -> None:
    alone.write(wppClaim=DEAD_START)
    assert alone.connect(alone.stored()).state.state is State.STARTING  # now it has been seen
    alone.passed += seconds
    alone.calls()
    alone.connect(alone.stored())
    confirmed = [PATCH] if looks > 2 else []
    assert alone.calls() == [*LOOK, PATCH, *["status"] * looks, "webhook", *confirmed, "start", PATCH]


@pytest.mark.parametrize("seconds", [6.0, 8.5])
def test_whoever_fails_meanwhile_leaves_that_start_the_rest_of_its_time(
    alone: Alone, ended: Integration, seconds: float
) -> None:
    alone.write(wppClaim=DEAD_START)
    alone.connect(alone.stored())
    alone.passed += seconds
    alone.instead("status", None, None, None, *[LOST] * 4)
    assert alone.outcome(lambda: alone.connect(alone.stored())).startswith("UpstreamBroken")
    assert round(sum(alone.waits), 3) == 2.4
    # It may have been sent until a second after the claim was seen for the first time.
    assert alone.settings() == {**ended.settings, "wppStartedAt": (BEGIN + 120 + 1) * 1000}


def test_a_lost_start_is_sent_again_once_it_had_its_time(alone: Alone, ended: Integration) -> None:
    alone.instead("start", TIMED_OUT)
    connected = alone.connect(ended)
    assert connected.state.state is State.STARTING
    assert alone.waits == [0.2, *[0.5] * 20]
    assert connected.invocation.upstream.trace.events == {"start": 2}
    assert alone.settings() == {**ended.settings, "wppStartedAt": 1_800_000_130_200}
    assert alone.calls() == [*LOOK, PATCH, "webhook", "start", *SETTLING, PATCH, "start", PATCH]


def test_a_start_that_was_lost_and_had_its_effect_is_not_sent_again(alone: Alone, ended: Integration) -> None:
    alone.instead("start", LOST_AFTERWARDS)
    assert alone.connect(ended).state.state is State.QR_REQUIRED
    assert alone.session().starts == 2
    assert alone.settings() == started(ended)


def test_a_start_that_is_lost_twice_leaves_its_claim_to_tell_of_it(alone: Alone, ended: Integration) -> None:
    alone.instead("start", TIMED_OUT, TIMED_OUT)
    text = "UpstreamTimeout: WPP Platform did not answer in time (start)"
    assert alone.outcome(lambda: alone.connect(ended)) == text
    assert alone.settings()["wppClaim"]["doing"] == "start"
    assert "wppStartedAt" not in alone.settings()
    assert alone.calls()[-1] == "start"


def test_a_refused_start_leaves_nothing_behind(alone: Alone, ended: Integration) -> None:
    alone.instead("start", answer(400))
    text = "UpstreamRefused: WPP Platform refused with status 400 (start)"
    assert alone.outcome(lambda: alone.connect(ended)) == text
    assert alone.settings() == ended.settings


def test_a_failure_before_the_start_gives_the_claim_back(alone: Alone, ended: Integration) -> None:
    alone.write(wppStartedAt=(BEGIN + 113) * 1000)
    row = alone.stored()
    alone.instead("status", None, *[answer(500)] * 4)
    assert alone.outcome(lambda: alone.connect(row)).startswith("UpstreamBroken")
    assert alone.settings() == row.settings


def test_a_claim_that_cannot_be_placed_leaves_nothing_behind(alone: Alone, ended: Integration) -> None:
    alone.instead(PATCH, *[answer(500)] * 6)
    assert alone.outcome(lambda: alone.connect(ended)).startswith("UpstreamBroken")
    assert alone.settings() == ended.settings


@pytest.mark.parametrize(("seconds", "confirmations"), [(0.9, 0), (1.0, 1), (1.1, 1)])
def test_a_start_is_sent_within_a_second_after_its_claim_was_confirmed(
    alone: Alone, ended: Integration, seconds: float, confirmations: int
) -> None:
    alone.instead(PATCH, lambda: setattr(alone, "passed", alone.passed + seconds))
    alone.connect(ended)
    assert alone.calls() == [*LOOK, PATCH, "webhook", *[PATCH] * confirmations, "start", PATCH]


def test_a_claim_whose_confirmation_takes_long_is_confirmed_three_times_at_most(
    alone: Alone, ended: Integration
) -> None:
    alone.takes(PATCH, 2)
    alone.connect(ended)
    assert alone.calls() == [*LOOK, PATCH, "webhook", *[PATCH] * 3, "start", PATCH]


def test_a_claim_that_is_taken_over_before_the_start_is_sent_is_left_to_the_other(
    alone: Alone, ended: Integration
) -> None:
    alone.instead(PATCH, lambda: setattr(alone, "passed", alone.passed + 5))
    alone.instead("webhook", lambda: alone.write(wppClaim=DEAD_START))
    assert alone.connect(ended).state.state is State.STARTING
    assert "start" not in alone.calls()


def test_a_session_is_started_although_its_row_is_still_marked_as_disconnected(
    alone: Alone, ended: Integration
) -> None:
    alone.write(wppDisconnected=True)
    alone.instead(PATCH, *[LOST] * 6)  # where the mark would have been removed
    alone.connect(alone.stored())
    assert alone.settings() == {**started(ended), "wppStartedAt": round((BEGIN + alone.passed) * 1000)}
