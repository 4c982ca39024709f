"""How long a start is given, and what is read of the session meanwhile."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING

import pytest

from tests.support.alone import UNKNOWN, Alone, answer
from wpp.errors import SessionGone, UpstreamBroken
from wpp.platform.state import SessionState, State
from wpp.provisioning.client import stored_client
from wpp.provisioning.live_state import with_qr
from wpp.provisioning.record import Record
from wpp.provisioning.settling import await_stop, seconds_left, settled_state

if TYPE_CHECKING:
    from emulator.supabase.app import SupabaseApp

OFFLINE = answer(200, {"status": "offline"})


@pytest.fixture
def alone(supabase: SupabaseApp) -> Alone:
    alone = Alone(supabase)
    alone.connected_before()
    return alone


def settled(alone: Alone, seconds: float, *, time: float = 28.0, **how: bool) -> SessionState:
    invocation = alone.begin(time)
    platform = stored_client(invocation, alone.stored()).platform
    return settled_state(invocation.upstream, platform, seconds, **how)


@pytest.mark.parametrize(("started_at", "left"), [(None, 0), (1000, 10), (997, 7), (990, 0), (900, -90), (1003, 7)])
def test_a_start_has_ten_seconds_whoevers_clock_is_wrong(started_at: int | None, left: float) -> None:
    settings = {} if started_at is None else {"wppStartedAt": started_at * 1000}
    assert seconds_left(Record("row", "organization", settings), 1000.0) == left


@pytest.mark.parametrize(("seconds", "waits"), [(0, []), (0.5, [0.5]), (1.25, [0.5, 0.5, 0.25])])
def test_an_ended_session_is_looked_at_every_half_second(alone: Alone, seconds: float, waits: list[float]) -> None:
    alone.instead("status", *[OFFLINE] * 4)
    assert settled(alone, seconds) == SessionState(State.ENDED)
    assert alone.waits == waits
    assert alone.calls() == ["status"] * (len(waits) + 1)


def test_a_session_that_runs_is_not_waited_for(alone: Alone) -> None:
    alone.instead("status", OFFLINE)
    assert settled(alone, 10).state is State.QR_REQUIRED
    assert alone.waits == [0.5]


def test_an_unknown_session_is_an_error_unless_it_may_not_have_been_started_yet(alone: Alone) -> None:
    alone.instead("status", UNKNOWN, UNKNOWN, UNKNOWN)
    with pytest.raises(SessionGone):
        settled(alone, 0.5)
    assert settled(alone, 0.5, unknown_is_ended=True) == SessionState(State.ENDED)


def test_a_session_for_which_no_time_is_left_says_so(alone: Alone) -> None:
    alone.instead("status", OFFLINE)
    text = "DeadlinePassed: Time ran out while waiting for the session to start; try again"
    assert alone.outcome(lambda: settled(alone, 10, time=0.5)) == text


def test_a_stop_for_which_no_time_is_left_says_so(alone: Alone) -> None:
    alone.instead("status", answer(200, {"status": "connected"}))
    invocation = alone.begin(0.5)
    platform = stored_client(invocation, alone.stored()).platform
    text = "DeadlinePassed: Time ran out while waiting for the session to stop; try again"
    assert alone.outcome(lambda: await_stop(invocation.upstream, platform)) == text


# A state and the QR that was read beside it


@pytest.mark.parametrize("state", [State.STARTING, State.QR_REQUIRED])
def test_a_qr_that_was_read_beside_the_state_is_told(state: State) -> None:
    found: Future[str | None] = Future()
    found.set_result("2@text")
    assert with_qr(SessionState(state), found) == (State.QR_REQUIRED, "2@text", None)


@pytest.mark.parametrize("state", [State.CONNECTED, State.PAIRING, State.ENDED, State.BLOCKED, State.PASSKEY])
def test_a_session_that_is_not_before_its_scan_has_no_qr_any_more(state: State) -> None:
    found: Future[str | None] = Future()
    found.set_result("2@text")
    assert with_qr(SessionState(state), found) == (state, None, None)
    assert with_qr(SessionState(state), None) == (state, None, None)


@pytest.mark.parametrize(
    ("state", "error", "counts"),
    [
        (State.STARTING, UpstreamBroken("platform", "qr", "failed"), False),
        (State.QR_REQUIRED, UpstreamBroken("platform", "qr", "failed"), True),
        (State.CONNECTED, ZeroDivisionError(), False),
        (State.STARTING, ZeroDivisionError(), True),
    ],
)
def test_a_failed_reading_counts_where_there_should_be_a_qr_and_a_mistake_of_ours_always(
    state: State, error: Exception, counts: bool
) -> None:
    failed: Future[str | None] = Future()
    failed.set_exception(error)
    if counts:
        with pytest.raises(type(error)):
            with_qr(SessionState(state), failed)
    else:
        assert with_qr(SessionState(state), failed) == (state, None, None)
