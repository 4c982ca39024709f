"""How a QR is waited for: when it is looked for, what counts as having waited enough, and what trouble on the way means."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.support.alone import LOST, PATCH, UNKNOWN, Alone, answer
from wpp.cache import Shared
from wpp.errors import UpstreamRefused
from wpp.platform.state import SessionState, State
from wpp.provisioning.disconnect import disconnect
from wpp.provisioning.options import Target

if TYPE_CHECKING:
    from tests.support.alone import Connected

STARTING = SessionState(State.STARTING)


def starting(alone: Alone, seconds: float = 28.0, delay: float = 1000.0) -> Connected:
    """A session that has its QR so many seconds later."""
    row = alone.connected_before(wppPaired=False, wppApiKeyIssuedAt=None)
    alone.platform.settings.qr_delay = 120 + delay
    connected = alone.connect(row, seconds)
    assert connected.state == STARTING
    alone.calls()
    return connected


def test_a_qr_is_looked_for_until_it_is_there_and_the_status_with_each_fifth_look(alone: Alone) -> None:
    connected = starting(alone, delay=1.0)
    state = connected.session.wait_for_qr(connected.state)
    assert state == (State.QR_REQUIRED, alone.platform.qr(alone.session()), None)
    assert alone.waits == [0.15] * 7
    assert alone.calls() == [*["qr"] * 5, "status", "qr", "qr", PATCH]
    assert alone.settings()["wppQrShown"] is True


def test_what_needs_no_waiting_is_returned_at_once(alone: Alone) -> None:
    connected = starting(alone)
    for state in (
        SessionState(State.CONNECTED),
        SessionState(State.QR_REQUIRED, "2@text"),
        SessionState(State.BLOCKED),
    ):
        assert connected.session.wait_for_qr(state) == state
    assert (alone.waits, alone.calls(), connected.invocation.warnings) == ([], [], [])


def test_a_number_that_is_connected_meanwhile_needs_no_qr(alone: Alone) -> None:
    connected = starting(alone)
    alone.platform.scan(alone.session().name)
    assert connected.session.wait_for_qr(connected.state).state is State.CONNECTED
    assert alone.calls() == [*["qr"] * 5, "status", PATCH]
    assert alone.settings()["wppPaired"] is True


def test_a_session_that_is_blocked_meanwhile_is_not_waited_for(alone: Alone) -> None:
    connected = starting(alone)
    alone.platform.report(alone.session().name, "TOS_BLOCK")
    assert connected.session.wait_for_qr(connected.state).state is State.BLOCKED
    warning = "the platform reports 'TOS_BLOCK': the session cannot be started"
    assert connected.invocation.warnings == [warning]


@pytest.mark.parametrize(("seconds", "waited"), [(28.0, 20), (9.0, 8)])
def test_a_qr_is_waited_for_as_long_as_the_configuration_and_the_deadline_allow(
    alone: Alone, seconds: float, waited: float
) -> None:
    connected = starting(alone, seconds)
    assert connected.session.wait_for_qr(connected.state) == STARTING
    assert waited - 1 <= sum(alone.waits) < waited
    assert alone.waits[0] == 0.15
    assert alone.waits[-1] == pytest.approx(max(0.15, min(1.0, 0.08 * (sum(alone.waits[:-1])))))
    assert connected.invocation.warnings == []


def test_a_wait_that_would_end_with_the_time_is_not_begun(alone: Alone) -> None:
    connected = starting(alone)
    alone.passed += 28 - 1 - 0.15
    assert connected.session.wait_for_qr(connected.state) == STARTING
    assert alone.waits == []


def test_a_session_that_ends_meanwhile_is_started_and_waited_for_anew(alone: Alone) -> None:
    connected = starting(alone)
    alone.platform.disconnect(alone.session().name)
    alone.platform.settings.qr_delay = 2.0
    assert connected.session.wait_for_qr(connected.state).state is State.QR_REQUIRED
    calls = alone.calls()
    assert calls[:11] == [*["qr"] * 5, "status", PATCH, "webhook", "start", PATCH, "qr"]
    assert alone.waits == [0.15] * 5 + [0.15] * 13 + [pytest.approx(0.156)]


def test_a_number_that_somebody_disconnects_meanwhile_is_not_waited_for(alone: Alone) -> None:
    connected = starting(alone)
    alone.instead("qr", lambda: disconnect(alone.begin(), alone.token, Target()))
    assert connected.session.wait_for_qr(connected.state) == STARTING
    assert alone.waits == [0.15] * 5
    assert alone.settings()["wppDisconnected"] is True


def test_looks_that_fail_come_less_and_less_often(alone: Alone) -> None:
    connected = starting(alone)
    alone.instead("qr", *[LOST] * 16)  # four for each look
    alone.platform.settings.qr_delay = 0
    assert connected.session.wait_for_qr(connected.state).state is State.QR_REQUIRED
    retries = [0.2, 0.4, 0.8]
    assert alone.waits == [0.15, *retries, 0.3, *retries, 0.6, *retries, 1.2, *retries, 2.0]
    assert connected.invocation.warnings == []


def test_a_platform_that_asks_for_a_pause_gets_it(alone: Alone) -> None:
    connected = starting(alone, 8)
    alone.instead("qr", answer(503, None, retry_after="6"), answer(503, None, retry_after="30"))
    connected.session.wait_for_qr(connected.state)
    assert alone.waits[:2] == [0.15, 6.0]


def test_trouble_with_the_last_look_is_told(alone: Alone) -> None:
    connected = starting(alone, 8)
    alone.instead("qr", *[LOST] * 1000)
    assert connected.session.wait_for_qr(connected.state) == STARTING
    warning = "the last look for a QR failed: WPP Platform broke the connection (qr)"
    assert connected.invocation.warnings == [warning]


def test_a_look_that_ends_with_the_deadline_is_no_failure(alone: Alone) -> None:
    connected = starting(alone, 8)
    alone.instead("qr", None, None, None, None, lambda: setattr(alone, "passed", alone.passed + 8))
    assert connected.session.wait_for_qr(connected.state) == STARTING


def test_a_single_look_that_does_not_know_the_session_is_not_believed(alone: Alone) -> None:
    connected = starting(alone, delay=2.0)
    alone.instead("status", UNKNOWN)
    assert connected.session.wait_for_qr(connected.state).state is State.QR_REQUIRED
    assert connected.invocation.warnings == []
    assert alone.waits[:6] == [0.15] * 5 + [0.3]


REFUSED = answer(400, {"error": "not now"})


def test_a_look_that_is_refused_for_a_moment_is_not_believed(alone: Alone) -> None:
    connected = starting(alone, delay=1.5)
    alone.instead("qr", REFUSED, answer(401, {"error": "Invalid token"}))
    alone.instead("token", answer(401, {"error": "Invalid API key"}))
    assert connected.session.wait_for_qr(connected.state).state is State.QR_REQUIRED
    assert alone.waits[:3] == [0.15, 0.3, 0.6]
    assert connected.invocation.warnings == []


def test_looks_that_are_refused_for_two_seconds_are_an_error(alone: Alone) -> None:
    connected = starting(alone)
    alone.instead("qr", *[REFUSED] * 10)
    with pytest.raises(UpstreamRefused):
        connected.session.wait_for_qr(connected.state)
    assert alone.waits == [0.15, 0.3, 0.6, 1.2]


def test_a_refusal_after_an_outage_is_doubted_anew(alone: Alone) -> None:
    connected = starting(alone, delay=1.0)
    alone.instead("qr", REFUSED, *[LOST] * 4, REFUSED, answer(200, {"qr": None}), REFUSED)
    alone.takes("qr", 1.0)
    assert connected.session.wait_for_qr(connected.state).state is State.QR_REQUIRED


def test_a_start_that_is_refused_meanwhile_is_an_error_at_once(alone: Alone) -> None:
    connected = starting(alone)
    alone.platform.disconnect(alone.session().name)
    alone.instead("start", REFUSED)
    with pytest.raises(UpstreamRefused):
        connected.session.wait_for_qr(connected.state)
    assert alone.waits == [0.15] * 5


def test_a_look_that_finds_the_phone_after_the_scan_is_noted(alone: Alone) -> None:
    connected = starting(alone, 2)
    alone.instead("status", answer(200, {"status": "pairing"}))
    state = connected.session.wait_for_qr(connected.state)
    assert state.state is State.STARTING
    assert alone.settings()["wppPaired"] is True


def test_the_process_knows_which_sessions_are_waited_for(alone: Alone) -> None:
    connected = starting(alone, delay=0.1)
    counts = []
    alone.instead("qr", lambda: counts.append(len(alone.runtime.memory.looked_for)))
    connected.session.wait_for_qr(connected.state)
    assert counts == [1]
    alone.instead("qr", lambda: counts.append(len(alone.runtime.memory.looked_for)))
    with alone.runtime.memory.looked_for.using(connected.session.credentials.api_key):
        connected.session.wait_for_qr(connected.state)
    assert counts == [1, 1]  # another who waits for the same one
    assert len(alone.runtime.memory.looked_for) == 0


def test_where_a_hundred_sessions_are_waited_for_the_first_look_comes_later_too(alone: Alone) -> None:
    connected = starting(alone, delay=0.1)
    with ExitStack() as others:
        for number in range(99):
            others.enter_context(alone.runtime.memory.looked_for.using(f"sk-{number}"))
        connected.session.wait_for_qr(connected.state)
    assert alone.waits == [1.0]


@pytest.mark.parametrize(("ago", "is_shared"), [(0.07, True), (0.08, False)])
def test_a_look_that_somebody_else_had_within_half_the_pause_is_shared(
    alone: Alone, ago: float, is_shared: bool
) -> None:
    connected = starting(alone, 2)
    theirs: Shared[SessionState] = Shared()
    alone.runtime.memory.looks.put(connected.session.credentials.api_key, theirs)
    theirs_at = alone.clock.monotonic() + 0.15 - ago  # during our first pause
    seen = SessionState(State.QR_REQUIRED, "2@text")
    theirs.result(0, 0, alone.clock._replace(monotonic=lambda: theirs_at), lambda: seen)
    assert (connected.session.wait_for_qr(connected.state) == seen) is is_shared


def test_a_look_is_had_by_others_too(alone: Alone) -> None:
    connected = starting(alone)
    alone.instead("qr", answer(200, {"qr": "2@text"}))
    memory, api_key = alone.runtime.memory, connected.session.credentials.api_key
    with memory.looked_for.using(api_key):
        seen = connected.session.wait_for_qr(connected.state)
        shared = memory.looks.get(api_key)
    assert shared
    assert shared.result(1, 0, alone.clock, lambda: STARTING) == seen


def test_a_qr_is_forgotten_with_the_last_who_waits_for_it(alone: Alone) -> None:
    connected = starting(alone, delay=0.1)
    assert connected.session.wait_for_qr(connected.state).qr
    assert alone.runtime.memory.looks.get(connected.session.credentials.api_key) is None


def test_a_session_that_somebody_else_starts_is_waited_for_as_before(alone: Alone) -> None:
    connected = starting(alone)
    alone.platform.disconnect(alone.session().name)
    alone.write(wppClaim={"id": "theirs", "beat": 1, "doing": "start"})
    alone.takes("qr", 2)
    connected.session.wait_for_qr(connected.state)
    # Five looks of two seconds each, and the pauses between them.
    assert alone.waits[5] == pytest.approx(0.08 * (10 + sum(alone.waits[:5])))
