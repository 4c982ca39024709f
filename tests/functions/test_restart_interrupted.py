"""What comes in between while a stuck session is restarted: a scan, a disconnection, somebody else's note, the process's end."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from emulator.faults import Fault
from emulator.processes import free_port, server_process
from tests.support.advancing import Advancing
from tests.support.callers import call_to_death
from tests.support.restarts import AFTER, ROWS, called, stuck
from tests.support.servers import wait_for
from wpp.clock import Ticker
from wpp.config import config_from
from wpp.provisioning import settling
from wpp.provisioning.disconnect import disconnect
from wpp.provisioning.look import look
from wpp.provisioning.options import Options, Target
from wpp.provisioning.service import PLAIN, connect
from wpp.runtime import Runtime

if TYPE_CHECKING:
    from emulator.stack import Stack
    from tests.support.callers import Caller
    from tests.support.intervening import Intervening


@pytest.mark.parametrize("scanned", [False, True])
@pytest.mark.parametrize("moment", [("PATCH", ROWS, 1), ("PATCH", ROWS, 2), ("GET", "qr", 2)])
def test_a_session_whose_qr_came_meanwhile_is_not_restarted(
    caller: Caller,
    patient: Runtime,
    time: Advancing,
    meanwhile: Intervening,
    moment: tuple[str, str, int],
    scanned: bool,
) -> None:
    stuck(caller)
    session = caller.session()
    time.advance(AFTER)

    def qr() -> None:
        session.is_stuck = False
        if scanned:
            caller.scan()

    meanwhile.after(moment[0], moment[1], qr, nth=moment[2])
    connection, _ = called(patient, caller)
    assert meanwhile.has_happened
    assert connection.status == ("connected" if scanned else "qr_issued" if moment[1] != "qr" else "starting")
    assert (session.stops, session.restarts) == (0, 0)
    assert "wppRestarts" not in caller.row()["settings"] or moment[1] == "qr"


def test_a_qr_that_is_scanned_right_after_it_was_read_is_not_shown(
    caller: Caller, patient: Runtime, time: Advancing, meanwhile: Intervening
) -> None:
    stuck(caller)
    session = caller.session()
    time.advance(AFTER)

    def qr() -> None:
        session.is_stuck = False
        meanwhile.after("GET", "qr", caller.scan)

    meanwhile.after("PATCH", ROWS, qr)
    assert called(patient, caller)[0].status == "connected"
    assert session.stops == 0


def test_the_look_before_the_stop_is_repeated_if_the_claim_had_to_be_confirmed(
    caller: Caller, stack: Stack, time: Advancing, meanwhile: Intervening
) -> None:
    stuck(caller)
    session = caller.session()
    time.advance(AFTER)
    without_beats = Runtime(
        config_from(stack.environment()), time.clock, meanwhile, lambda *_: Ticker(1e9, lambda: None)
    )

    def slowly() -> None:
        time.advance(5)
        meanwhile.after("PATCH", ROWS, caller.scan)

    meanwhile.after("GET", "status", slowly, nth=2)
    assert called(without_beats, caller)[0].status == "connected"
    without_beats.close()
    assert meanwhile.has_happened
    assert (session.stops, session.unlinked_phones) == (0, 0)


def test_the_stop_is_sent_once_the_session_may_be_another_when_it_is_repeated(
    caller: Caller, patient: Runtime, time: Advancing, meanwhile: Intervening
) -> None:
    stuck(caller)
    time.advance(AFTER)
    caller.stack.platform_server.inject(Fault("stop", status=503))
    meanwhile.after("POST", "stop", caller.scan)
    called(patient, caller)
    assert meanwhile.has_happened
    assert caller.session().unlinked_phones == 0


@pytest.mark.parametrize("moment", [("GET", "status"), ("PATCH", ROWS)])
def test_a_number_that_is_noted_as_paired_meanwhile_is_not_restarted_whatever_it_reports_then(
    caller: Caller,
    runtime: Runtime,
    patient: Runtime,
    time: Advancing,
    meanwhile: Intervening,
    moment: tuple[str, str],
) -> None:
    stuck(caller)
    platform, session = caller.stack.platform, caller.session()
    time.advance(AFTER)

    def somebody_sees_the_scan() -> None:
        platform.report(session.name, "qrReadSuccess")
        look(runtime.begin("wpp-status", "id"), caller.token, Target())
        platform.report(session.name, "connecting")

    meanwhile.after(*moment, somebody_sees_the_scan)
    assert called(patient, caller)[0].status == "starting"
    assert meanwhile.has_happened
    assert session.stops == 0
    assert "wppClaim" not in caller.row()["settings"]


@pytest.mark.parametrize("options", [PLAIN, Options(force_recreate=True)], ids=["restart", "recreation"])
def test_a_session_that_somebody_else_restarts_or_recreates_meanwhile_is_left_alone(
    caller: Caller, stack: Stack, patient: Runtime, time: Advancing, meanwhile: Intervening, options: Options
) -> None:
    stuck(caller)
    session = caller.session()
    stack.platform.settings.stuck_starting = True
    time.advance(AFTER)
    theirs = Runtime(config_from(stack.environment()), time.clock)
    they = theirs.begin("wpp-create", "id")
    meanwhile.after("GET", "status", lambda: connect(they, caller.token, options=options))
    called(patient, caller)
    theirs.close()
    assert meanwhile.has_happened
    assert (session.stops, session.restarts) == (1, 0)


def test_an_ended_session_whose_credentials_somebody_replaces_meanwhile_is_not_started(
    caller: Caller, stack: Stack, runtime: Runtime, patient: Runtime, meanwhile: Intervening
) -> None:
    stack.platform.settings.one_client_per_organization = False
    caller.create()
    session = caller.session()
    stack.platform.disconnect(session.name)
    caller.change_settings(wppStartedAt=1)
    starts = session.starts
    recreating, recreate = runtime.begin("wpp-create", "id"), Options(force_recreate=True)
    meanwhile.after("GET", "status", lambda: connect(recreating, caller.token, options=recreate))
    called(patient, caller)
    assert meanwhile.has_happened
    assert caller.session() is not session
    assert session.starts == starts


def test_a_number_that_is_disconnected_meanwhile_is_not_started(
    caller: Caller, runtime: Runtime, patient: Runtime, time: Advancing, meanwhile: Intervening
) -> None:
    stuck(caller)
    session = caller.session()
    caller.change_settings(wppStartedAt=1, wppApiKeyIssuedAt=1)
    meanwhile.after("GET", "status", lambda: disconnect(runtime.begin("wpp-disconnect", "id"), caller.token, Target()))
    called(patient, caller)
    assert (session.started_at, session.stops) == (None, 1)
    row = caller.row()
    assert (row["is_active"], row["settings"]["wppDisconnected"]) == (False, True)


@pytest.mark.parametrize("step", ["stop", "start"])
@pytest.mark.parametrize("after_effect", [False, True])
def test_a_restart_that_was_killed_is_finished_once_and_the_next_one_comes_after_twice_the_time(
    caller: Caller,
    patient: Runtime,
    time: Advancing,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    after_effect: bool,
) -> None:
    monkeypatch.setattr(settling, "_LOOK_SECONDS", 1.0)  # long enough to pass at once
    stuck(caller)
    session, starts = caller.session(), caller.session().starts
    caller.change_settings(wppStartedAt=1, wppApiKeyIssuedAt=1)
    server = caller.stack.platform_server
    server.inject(Fault(step, "hang", after_effect=after_effect, times=None))
    with server_process(caller.stack.environment(), free_port()) as victim, ThreadPoolExecutor(1) as threads:
        victim.wait_until_ready()
        threads.submit(call_to_death, f"{victim.url}/wpp-create", caller.token)
        wait_for(lambda: server.count(step))
        victim.kill()
    server.clear_faults()
    if session.started_at is not None:
        session.is_stuck = True  # also after a start that had its effect
    for wait in (0, 6):
        time.advance(wait)
        assert called(patient, caller)[0].status == "starting"
    was_stopped = step == "start" or after_effect
    assert (session.stops, session.starts - starts) == (was_stopped, was_stopped)
    session.is_stuck = True
    for wait in (AFTER, AFTER):
        assert session.stops == was_stopped
        time.advance(wait)
        called(patient, caller)
    assert session.stops == was_stopped + 1
    assert session.restarts == 0
    assert "wppClaim" not in caller.row()["settings"]


@pytest.mark.parametrize("is_started_again", [False, True])
def test_what_somebody_noted_since_the_start_stays_when_the_starter_saves_something_else(
    caller: Caller, stack: Stack, time: Advancing, meanwhile: Intervening, is_started_again: bool
) -> None:
    caller.create()
    platform, session = caller.stack.platform, caller.session()
    platform.disconnect(session.name)
    platform.settings.qr_delay = 1000

    noted: dict[str, Any] = {}
    later = Advancing()
    later.advance(60)
    theirs = Runtime(config_from(stack.environment()), later.clock)

    def somebody_sees_a_qr() -> None:
        platform.settings.qr_delay = 0
        if is_started_again:
            platform.disconnect(session.name)
            called(theirs, caller)
        assert called(theirs, caller)[0].status == "qr_issued"
        noted.update(caller.row()["settings"])
        platform.settings.qr_delay = 1000
        platform.revoke_tokens(session.name)  # so that there is a token to save
        meanwhile.after("GET", "qr", lambda: time.advance(10), nth=2)  # the first is refused; then it waits no more

    meanwhile.after("GET", "qr", somebody_sees_a_qr, nth=3)
    config = config_from(stack.environment() | {"WPP_QR_WAIT_SECONDS": "10"})
    with closing(Runtime(config, clock=time.clock, transport=meanwhile)) as starter, closing(theirs):
        assert connect(starter.begin("wpp-provision", "id"), caller.token, wait=True).status == "starting"
    assert meanwhile.has_happened
    wait_for(lambda: caller.row()["settings"]["wppJwtToken"] != noted["wppJwtToken"])
    settings = caller.row()["settings"]
    assert (settings["wppStartedAt"], settings["wppQrShown"]) == (noted["wppStartedAt"], True)


def test_whoever_finds_a_restart_that_died_after_the_stop_starts_the_session(
    caller: Caller, patient: Runtime, time: Advancing
) -> None:
    stuck(caller)
    session = caller.session()
    caller.stack.platform.stop(session)
    starts = session.starts
    caller.change_settings(wppClaim={"id": "died", "beat": 3, "doing": "restart", "expiresAt": 1})
    called(patient, caller)
    assert session.starts == starts  # somebody may be at work
    time.advance(6)
    called(patient, caller)
    assert session.starts == starts + 1
    assert called(patient, caller)[0].status == "qr_issued"
