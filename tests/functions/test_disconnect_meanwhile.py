"""Disconnecting beside others who work on the same number: their start takes effect before the stop, and no tab undoes it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from emulator.faults import Fault
from tests.support.servers import wait_for
from wpp.errors import CreationInProgress, WppError
from wpp.provisioning.client import stored_client
from wpp.provisioning.disconnect import disconnect
from wpp.provisioning.look import look, qr_of
from wpp.provisioning.options import Target
from wpp.provisioning.service import connect
from wpp.provisioning.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from tests.support.advancing import Advancing, Virtual
    from tests.support.callers import Caller
    from tests.support.intervening import Intervening
    from wpp.runtime import Runtime

PRIMARY = Target()
ROWS = "messenger_integrations"
UNKNOWN = Fault("status", status=404, body=b'{"error": "Session not found"}', times=None)


def disconnected(caller: Caller, runtime: Runtime) -> None:
    disconnect(runtime.begin("wpp-disconnect", "id"), caller.token, PRIMARY)


def connected(caller: Caller, runtime: Runtime) -> None:
    connect(runtime.begin("wpp-create", "id"), caller.token)


def disconnected_once_it_has_started(caller: Caller, runtime: Runtime) -> None:
    """Disconnects, and lets the session's start arrive only when somebody has looked for it."""
    session, platform = caller.session(), caller.stack.platform
    caller.stack.platform_server.clear()
    with ThreadPoolExecutor(1) as threads:
        disconnecting = threads.submit(disconnected, caller, runtime)
        wait_for(lambda: disconnecting.done() or caller.stack.platform_server.count("status") > 1)
        assert session.stops == 0, "stopped before the start arrived, which then undoes it"
        caller.stack.platform_server.clear_faults()
        platform.start(session)
        disconnecting.result()
    assert (session.stops, session.started_at) == (1, None)
    assert caller.row()["is_active"] is False


@pytest.mark.parametrize("doing", ["start", "restart"])
def test_the_start_of_somebody_who_died_is_given_its_time(
    caller: Caller, patient: Runtime, time: Advancing, doing: str
) -> None:
    caller.create()
    caller.stack.platform.disconnect(caller.session().name)
    caller.change_settings(wppClaim={"id": "died", "beat": 1, "doing": doing}, wppStartedAt=1)
    look(patient.begin("wpp-status", "id"), caller.token, PRIMARY)
    time.advance(6)
    disconnected_once_it_has_started(caller, patient)


def test_a_start_of_this_process_whose_answer_was_lost_is_given_its_time(caller: Caller, patient: Runtime) -> None:
    caller.create()
    caller.stack.platform.disconnect(caller.session().name)
    caller.stack.platform_server.inject(Fault("start", "hang", times=None))
    with pytest.raises(WppError):
        connect(patient.begin("wpp-create", "id", 4.0), caller.token)
    caller.stack.platform_server.clear_faults()
    assert caller.stack.platform_server.count("start") == 1
    disconnected_once_it_has_started(caller, patient)


def test_a_session_that_the_platform_knows_only_once_it_was_started_is_waited_for(
    caller: Caller, patient: Runtime
) -> None:
    caller.create()
    caller.stack.platform.disconnect(caller.session().name)
    caller.change_settings(wppStartedAt=int(patient.clock.now() * 1000))
    caller.stack.platform_server.inject(UNKNOWN)
    disconnected_once_it_has_started(caller, patient)


def test_somebody_who_waited_for_the_number_does_not_connect_it_again(caller: Caller, patient: Runtime) -> None:
    caller.create()
    session = caller.session()
    caller.change_settings(wppClaim={"id": "another's", "beat": 1, "doing": "create"})
    caller.stack.supabase_server.clear()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(connect, patient.begin("wpp-provision", "id"), caller.token, wait=True)
        wait_for(lambda: waiting.done() or caller.stack.supabase_server.count(f"rest.GET.{ROWS}"))
        disconnect_at_once(caller)
        assert waiting.result().status == "starting"
    assert (session.starts, session.started_at) == (1, None)
    assert (caller.row()["is_active"], caller.row()["settings"]["wppDisconnected"]) == (False, True)


def disconnect_at_once(caller: Caller) -> None:
    """What is there once somebody else has disconnected the number."""
    row = caller.row()
    settings = {name: value for name, value in row["settings"].items() if name not in ("wppClaim", "wppStartedAt")}
    caller.stack.platform.stop(caller.session())
    caller.stack.supabase.execute(
        "update messenger_integrations set settings = %s, is_active = false, updated_at = now() where id = %s",
        json.dumps(settings | {"wppDisconnected": True}),
        row["id"],
    )


@pytest.mark.parametrize("problem", ["key", "session"])
def test_somebody_who_doubts_that_the_number_is_lost_does_not_connect_it_again(
    caller: Caller, patient: Runtime, time: Advancing, meanwhile: Intervening, problem: str
) -> None:
    caller.create()
    session, platform = caller.session(), caller.stack.platform
    if problem == "key":
        platform.invalidate_key(session.name)
        meanwhile.after("POST", "/auth/token", lambda: disconnect_at_once(caller))
    else:
        platform.lose(session.name)
        meanwhile.after("GET", "status", lambda: disconnect_at_once(caller))
    before = len(platform.creations)
    with pytest.raises(WppError) as raised:
        connect(patient.begin("wpp-create", "id"), caller.token)
    assert meanwhile.has_happened
    assert (raised.value.code, raised.value.retryable) == ("platform_refused", False)
    assert (len(platform.creations), session.started_at) == (before, None)
    assert (caller.row()["is_active"], caller.row()["settings"]["wppDisconnected"]) == (False, True)


def test_somebody_who_connected_it_and_still_waits_for_its_qr_does_not_connect_it_again(
    caller: Caller, patient: Runtime, runtime: Runtime
) -> None:
    caller.create()
    disconnected(caller, runtime)
    caller.stack.platform.settings.stuck_starting = True
    invocation = patient.begin("wpp-provision", "id")
    row = invocation.rows.by_id(caller.row()["id"])
    assert row is not None
    waiting = Session(invocation, stored_client(invocation, row))
    state = waiting.ensure_started()
    assert caller.row()["is_active"] is True

    caller.stack.clock.advance(10)
    disconnect_at_once(caller)
    caller.stack.platform.revoke_tokens(caller.session().name)  # so that the one who waits has something to save
    waiting.wait_for_qr(state)
    wait_for(lambda: caller.row()["settings"]["wppJwtToken"] != row.settings["wppJwtToken"])
    assert (caller.row()["is_active"], caller.row()["settings"]["wppDisconnected"]) == (False, True)
    assert caller.session().started_at is None


@pytest.mark.parametrize("function", [look, qr_of])
def test_a_look_that_was_under_way_changes_nothing_but_its_token(
    caller: Caller, patient: Runtime, runtime: Runtime, meanwhile: Intervening, function: Callable[..., Any]
) -> None:
    caller.create()
    caller.scan()
    caller.stack.platform.revoke_tokens(caller.session().name)
    meanwhile.after("POST", "/auth/token", lambda: disconnected(caller, runtime))
    function(patient.begin("wpp-status", "id"), caller.token, PRIMARY)
    assert meanwhile.has_happened
    assert (caller.row()["is_active"], caller.row()["settings"]["wppDisconnected"]) == (False, True)
    assert caller.session().started_at is None


def test_tabs_that_poll_with_looks_or_wait_for_a_qr_leave_it_disconnected(caller: Caller) -> None:
    """The functions as they run: a page in a second tab goes on polling, and in a third one somebody waits for the QR."""
    caller.create()
    caller.stack.platform.settings.stuck_starting = True
    session, starts = caller.session(), caller.session().starts
    caller.stack.platform_server.clear()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(caller.provision)
        wait_for(lambda: caller.stack.platform_server.count("qr") > 1)
        assert caller.call("wpp_disconnect").status_code == 200
        for _ in range(3):
            assert caller.call("wpp_status").json()["status"] == "disconnected"
            assert caller.call("wpp_qr").json()["qr"] is None
        assert waiting.result().json()["status"] == "starting"
    assert (session.starts, session.started_at) == (starts, None)
    assert caller.row()["is_active"] is False


@pytest.mark.parametrize("under_way", ["/wpp/create", "/accounts/start", "/stop"])
def test_it_waits_for_a_creation_a_start_or_another_disconnection_that_is_under_way(
    caller: Caller, patient: Runtime, runtime: Runtime, meanwhile: Intervening, under_way: str
) -> None:
    if under_way != "/wpp/create":
        caller.create()
    if under_way == "/accounts/start":
        caller.stack.platform.disconnect(caller.session().name)
    call = disconnected if under_way == "/stop" else connected
    with ThreadPoolExecutor(1) as threads:

        def begin() -> None:
            caller.stack.supabase_server.clear()
            disconnecting.append(threads.submit(disconnected, caller, runtime))
            wait_for(lambda: caller.stack.supabase_server.count(f"rest.GET.{ROWS}"))
            assert not disconnecting[0].done()
            (client,) = caller.stack.platform.clients_of(caller.organization_id)
            stops.append(caller.session_of(client.session).stops)

        disconnecting: list[Future[None]] = []
        stops: list[int] = []
        meanwhile.after("POST", under_way, begin)
        call(caller, patient)
        disconnecting[0].result()
    assert stops == [1 if under_way == "/stop" else 0]
    assert (caller.session().stops, caller.session().started_at) == (stops[0] + 1, None)
    assert (caller.row()["is_active"], "wppClaim" in caller.row()["settings"]) == (False, False)


def test_a_stop_is_not_repeated_once_somebody_else_holds_the_number(
    caller: Caller, waiting: Runtime, virtual: Virtual, meanwhile: Intervening
) -> None:
    caller.create()
    caller.stack.platform_server.inject(Fault("stop", status=503, after_effect=True))

    def taken_over() -> None:
        caller.change_settings(wppClaim={"id": "another's", "beat": 1, "doing": "start"})
        virtual.seconds += 5

    meanwhile.after("POST", "/stop", taken_over)
    with pytest.raises(CreationInProgress) as raised:
        disconnect(waiting.begin("wpp-disconnect", "id", 11), caller.token, PRIMARY)
    assert meanwhile.has_happened
    assert (raised.value.status, raised.value.retry_after) == (503, 6)
    assert (caller.session().stops, caller.row()["is_active"]) == (1, True)
    assert caller.row()["settings"]["wppClaim"]["id"] == "another's"
