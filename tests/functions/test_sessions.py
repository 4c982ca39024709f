"""What happens to a session when several want it, and when a part of the platform hangs."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from emulator.faults import Fault
from emulator.processes import free_port, server_process
from tests.support.servers import wait_for
from wpp.provisioning import best_effort, creation, updates
from wpp.provisioning.options import Options
from wpp.provisioning.service import connect

if TYPE_CHECKING:
    from tests.support.callers import Caller
    from wpp.runtime import Runtime

PATCH = "rest.PATCH.messenger_integrations"


def test_parallel_calls_start_an_offline_session_once(caller: Caller) -> None:
    caller.create()
    started = caller.session()
    caller.stack.platform.disconnect(started.name)
    caller.stack.platform.settings.qr_delay = 0
    before = started.starts
    caller.stack.platform_server.latency = caller.stack.supabase_server.latency = 0.05
    with ExitStack() as running:
        env = caller.stack.environment()
        servers = [running.enter_context(server_process(env, free_port())) for _ in range(2)]
        for server in servers:
            server.wait_until_ready()
        threads = running.enter_context(ThreadPoolExecutor(8))
        answers = list(threads.map(lambda n: caller.call_at(f"{servers[n % 2].url}/wpp-create"), range(8)))

    assert [answer.status_code for answer in answers] == [200] * 8
    assert caller.stack.platform_server.count("start") == 1
    assert (started.starts - before, started.restarts) == (1, 0)


def test_a_start_that_failed_keeps_nobody_from_starting(caller: Caller) -> None:
    caller.create()
    caller.stack.platform.disconnect(caller.session().name)
    caller.stack.platform_server.inject(Fault("start", status=400, times=1))
    assert caller.create().status_code == 502
    assert caller.create().status_code == 200
    assert caller.session().started_at is not None
    assert "wppClaim" not in caller.row()["settings"]


@pytest.mark.parametrize(("system", "call"), [("platform", "webhook"), ("platform", "qr"), ("supabase", PATCH)])
def test_what_only_helps_delays_no_answer_and_is_not_tried_again_at_once(
    caller: Caller, runtime: Runtime, monkeypatch: pytest.MonkeyPatch, system: str, call: str
) -> None:
    monkeypatch.setattr(updates, "WEBHOOK_PATIENCE", 28.0)  # as long as the others: the deadline
    monkeypatch.setattr("wpp.runtime._PATIENCE", 0.5)  # as in production
    monkeypatch.setattr(best_effort, "_FIRST_PAUSE", 60.0)  # longer than three calls
    caller.create()
    caller.scan()
    caller.stack.platform.revoke_tokens(caller.session().name)  # there is a token to save
    caller.change_settings(wppWebhookPending=True)
    server = caller.stack.platform_server if system == "platform" else caller.stack.supabase_server
    server.inject(Fault(call, "hang", times=None))
    server.clear()
    ended = []
    for _ in range(3):
        invocation = runtime.begin("wpp-create", "id")
        assert connect(invocation, caller.token).status == "connected"
        ended += [request.name for request in invocation.upstream.trace.requests]
    assert (server.count(call), ended.count(call)) == (1, 0), "sent once, and hanging still when it was answered"


def test_a_save_that_failed_is_made_up_for_by_a_later_call(caller: Caller, runtime: Runtime) -> None:
    caller.create()
    caller.stack.platform.revoke_tokens(caller.session().name)
    caller.change_settings(wppJwtExpiresAt=int((time.time() + 600) * 1000))  # it is no new one
    caller.stack.supabase_server.inject(Fault(PATCH, status=400))
    before = caller.row()["settings"]["wppJwtToken"]
    connect(runtime.begin("wpp-create", "id"), caller.token)
    assert caller.row()["settings"]["wppJwtToken"] == before
    runtime.memory.postponed.clear()  # as after the pause
    connect(runtime.begin("wpp-create", "id"), caller.token)
    wait_for(lambda: caller.row()["settings"]["wppJwtToken"] != before)


def test_a_session_that_cannot_be_stopped_is_replaced_all_the_same(
    caller: Caller, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(creation, "_STOP_PATIENCE", 0.3)
    caller.create()
    caller.stack.platform_server.clear()
    caller.stack.platform_server.inject(Fault("stop", "hang", times=None))
    invocation = runtime.begin("wpp-create", "id")
    connect(invocation, caller.token, options=Options(force_recreate=True))
    assert caller.stack.platform_server.count("create") == 1
    assert any("could not be stopped" in warning for warning in invocation.warnings)


def test_a_platform_that_asks_for_a_pause_gets_one(caller: Caller) -> None:
    caller.create()
    busy = Fault("qr", status=429, headers={"Retry-After": "60"}, times=None)
    caller.stack.platform_server.inject(busy)
    caller.stack.platform_server.clear()
    caller.stack.platform.settings.stuck_starting = True
    caller.provision()
    assert caller.stack.platform_server.count("qr") <= 2


def test_a_session_that_goes_offline_while_its_qr_is_waited_for_is_started(caller: Caller, runtime: Runtime) -> None:
    caller.create()
    caller.stack.platform.settings.qr_delay = 1000
    caller.stack.platform.disconnect(caller.session().name)
    caller.session().started_at = caller.stack.clock.now()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(lambda: connect(runtime.begin("wpp-provision", "id"), caller.token, wait=True))
        wait_for(lambda: caller.stack.platform_server.count("qr") >= 3)  # it is polling
        caller.stack.platform.disconnect(caller.session().name)
        caller.stack.platform.settings.qr_delay = 0
        assert waiting.result().status == "qr_issued"


def test_a_further_number_whose_saving_failed_is_finished_by_the_next_request(caller: Caller) -> None:
    caller.create()
    caller.scan()
    caller.create()  # which notes that it is paired
    lost = Fault(PATCH, status=400, times=None)
    caller.stack.supabase_server.inject(lost)
    assert caller.create({"add_new": True}).status_code == 502
    caller.stack.supabase_server.clear_faults()
    assert caller.create({"add_new": True}).status_code == 200
    rows = caller.rows()
    assert len(rows) == 2
    assert all(row["is_active"] for row in rows)
    assert len({c.session for c in caller.stack.platform.clients if caller.organization_id in c.organization_id}) == 2


def test_a_stored_token_that_is_refused_is_replaced_whatever_its_end(caller: Caller) -> None:
    caller.create()
    caller.change_settings(wppJwtToken="dead", wppJwtExpiresAt=int((time.time() + 86_400) * 1000))
    with server_process(caller.stack.environment(), free_port()) as new_process:
        new_process.wait_until_ready()
        assert caller.call_at(f"{new_process.url}/wpp-create").status_code == 200
        wait_for(lambda: caller.row()["settings"]["wppJwtToken"] != "dead")


@pytest.mark.parametrize(("sessions", "fewest", "most"), [(1, 40, 60), (100, 18, 22)])
def test_a_process_that_waits_for_many_sessions_looks_at_each_less_often(
    caller: Caller, waiting: Runtime, sessions: int, fewest: int, most: int
) -> None:
    caller.stack.platform.settings.qr_delay = 1000
    caller.create()
    looked = caller.stack.platform_server.count("qr")
    with ExitStack() as others:
        for number in range(sessions - 1):
            others.enter_context(waiting.memory.looked_for.using(f"another's {number}"))
        connect(waiting.begin("wpp-provision", "id"), caller.token, wait=True)
    assert fewest <= caller.stack.platform_server.count("qr") - looked <= most
