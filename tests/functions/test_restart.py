"""The way out of a session that does not get to its QR: stopped and started again once, and never with a phone linked."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from emulator.faults import Fault
from emulator.processes import free_port, server_process
from tests.support.restarts import AFTER, called, stuck
from tests.support.servers import wait_for
from wpp.config import config_from
from wpp.provisioning import start
from wpp.runtime import Runtime

if TYPE_CHECKING:
    from emulator.stack import Stack
    from tests.support.advancing import Advancing
    from tests.support.callers import Caller


def test_a_stuck_session_is_restarted_by_one_of_eight_callers_of_two_processes(caller: Caller) -> None:
    stuck(caller)
    session, starts = caller.session(), caller.session().starts
    caller.stack.platform_server.latency = caller.stack.supabase_server.latency = 0.02
    caller.change_settings(wppStartedAt=1, wppApiKeyIssuedAt=1)
    with ExitStack() as running:
        servers = [running.enter_context(server_process(caller.stack.environment(), free_port())) for _ in range(2)]
        for server in servers:
            server.wait_until_ready()
        threads = running.enter_context(ThreadPoolExecutor(8))
        answers = list(threads.map(lambda n: caller.call_at(f"{servers[n % 2].url}/wpp-create"), range(8)))
        assert [answer.status_code for answer in answers] == [200] * 8
        assert caller.call_at(f"{servers[0].url}/wpp-create").json()["status"] == "qr_issued"
    assert (session.starts - starts, session.stops, session.restarts) == (1, 1, 0)
    assert "wppClaim" not in caller.row()["settings"]


def test_a_session_has_its_time_before_it_is_restarted_and_twice_the_time_after(
    caller: Caller, patient: Runtime, time: Advancing
) -> None:
    stuck(caller)
    caller.stack.platform.settings.stuck_starting = True
    stops: list[int] = []
    warnings: list[str] = []
    for wait in (AFTER - 5, 10, AFTER, AFTER - 5, 10, 3 * AFTER, AFTER - 5, 10):
        time.advance(wait)
        _, invocation = called(patient, caller)
        stops.append(caller.session().stops)
        warnings += invocation.warnings
    assert stops == [0, 1, 1, 1, 2, 2, 2, 3]
    assert any("still has no QR" in warning for warning in warnings)


def test_a_qr_ends_the_counting_of_restarts(caller: Caller, patient: Runtime, time: Advancing) -> None:
    stuck(caller)
    time.advance(AFTER)
    called(patient, caller)
    assert caller.row()["settings"]["wppRestarts"] == 1
    assert called(patient, caller)[0].status == "qr_issued"
    assert "wppRestarts" not in caller.row()["settings"]


@pytest.mark.parametrize("paired", [True, None])
def test_a_paired_number_or_one_from_before_that_was_noted_is_not_restarted(
    caller: Caller, patient: Runtime, time: Advancing, paired: bool | None
) -> None:
    stuck(caller)
    caller.change_settings(wppPaired=paired)
    time.advance(100 * AFTER)
    assert called(patient, caller)[0].status == "starting"
    assert caller.session().stops == 0


def test_a_session_that_had_a_qr_since_its_start_is_not_restarted_it_may_have_been_scanned(
    caller: Caller, patient: Runtime, time: Advancing
) -> None:
    caller.stack.platform.settings.qr_delay = 0
    caller.create()
    assert called(patient, caller)[0].status == "qr_issued"
    wait_for(lambda: caller.row()["settings"].get("wppQrShown"))
    caller.stack.platform.report(caller.session().name, "connecting")
    time.advance(100 * AFTER)
    assert called(patient, caller)[0].status == "starting"
    assert caller.session().stops == 0


@pytest.mark.parametrize("status", [400, 404, 503])
def test_a_stop_that_fails_is_a_warning_and_is_not_tried_by_the_next_call(
    caller: Caller, patient: Runtime, time: Advancing, status: int
) -> None:
    stuck(caller)
    time.advance(AFTER)
    caller.stack.platform_server.inject(Fault("stop", status=status, times=None))
    connection, invocation = called(patient, caller)
    assert connection.status == "starting"
    assert any("could not be started again" in warning for warning in invocation.warnings)
    assert "wppClaim" not in caller.row()["settings"]
    caller.stack.platform_server.clear()
    called(patient, caller)
    assert caller.stack.platform_server.count("stop") == 0


def test_a_session_that_the_platform_does_not_know_when_it_is_stopped_is_started(
    caller: Caller, patient: Runtime, time: Advancing
) -> None:
    stuck(caller)
    session, starts = caller.session(), caller.session().starts
    time.advance(AFTER)
    caller.stack.platform_server.inject(Fault("stop", status=404, body=b'{"error": "Session not found"}'))
    called(patient, caller)
    assert session.starts == starts + 1


def test_a_restart_that_did_not_help_is_a_warning_as_soon_as_it_had_its_time(
    caller: Caller, patient: Runtime, time: Advancing
) -> None:
    stuck(caller)
    caller.stack.platform.settings.stuck_starting = True
    warned = []
    for wait in (AFTER, AFTER - 5, 10):
        time.advance(wait)
        _, invocation = called(patient, caller)
        warned.append(any("still has no QR" in warning for warning in invocation.warnings))
    assert warned == [False, False, True]
    assert caller.session().stops == 1


def test_a_stop_that_hangs_is_a_warning_and_the_next_one_comes_after_twice_the_time(
    caller: Caller, patient: Runtime, time: Advancing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "_STOP_PATIENCE", 0.3)
    stuck(caller)
    time.advance(AFTER)
    caller.stack.platform_server.clear()
    caller.stack.platform_server.inject(Fault("stop", "hang", times=None))
    stops, warnings = [], []
    for wait in (0, AFTER + 5, AFTER):
        time.advance(wait)
        connection, invocation = called(patient, caller)
        assert connection.status == "starting"
        stops.append(caller.stack.platform_server.count("stop"))
        warnings.append(any("could not be started again" in warning for warning in invocation.warnings))
    assert stops == [1, 1, 2]
    assert warnings == [True, False, True]


@pytest.mark.parametrize("skew", [-7200.0, 7200.0])
def test_machines_whose_clocks_differ_restart_a_session_twice_at_most_and_not_with_each_call(
    caller: Caller, stack: Stack, time: Advancing, patient: Runtime, skew: float
) -> None:
    stuck(caller)
    caller.stack.platform.settings.stuck_starting = True
    clock = time.clock
    skewed = clock._replace(now=lambda: clock.now() + skew)
    other = Runtime(config_from(stack.environment()), clock=skewed)
    time.advance(AFTER)
    for _ in range(10):
        for runtime in (patient, other):
            called(runtime, caller)
    other.close()
    assert 1 <= caller.session().stops <= 2
    assert caller.session().restarts == 0
