"""The server of one's own at its limits: more callers than files, a platform that hangs, people who wait during a reload."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import requests

from emulator.faults import Fault
from emulator.processes import GUNICORN, FunctionProcess, free_port
from tests.support.callers import Caller, new_caller
from tests.support.faults import end_problems
from tests.support.servers import reload, wait_for, workers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.stack import Stack

CREATE, PROVISION = "/functions/v1/wpp-create", "/functions/v1/wpp-provision"
FEW_FILES = 80
LIMITED = (
    "import os, resource, sys\n"
    f"resource.setrlimit(resource.RLIMIT_NOFILE, ({FEW_FILES}, {FEW_FILES}))\n"
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])\n"
)


def served(stack: Stack, *before: str, **env: str) -> FunctionProcess:
    port = free_port()
    command = ["-m", "gunicorn", "--config", str(GUNICORN), "--workers", "1", "--bind", f"127.0.0.1:{port}"]
    server = FunctionProcess([*before, *command], stack.environment() | env, port)
    wait_for(lambda: requests.get(server.url + "/healthz", timeout=5).ok)
    return server


@pytest.fixture(scope="module")
def server(_stack: Stack) -> Iterator[FunctionProcess]:
    with served(_stack, WPP_DEADLINE_SECONDS="15") as process:
        yield process


def callers(stack: Stack, organizations: int, each: int) -> list[Caller]:
    return [caller for caller in (new_caller(stack, {}) for _ in range(organizations)) for _ in range(each)]


def outcome(caller: Caller, url: str) -> str:
    try:
        answer = caller.call_at(url)
    except requests.ConnectionError:
        return "not connected"
    body = answer.json()
    return str(body.get("code", body.get("status")))


def test_more_callers_than_the_server_may_open_files_get_an_answer_each_and_nothing_is_doubled(stack: Stack) -> None:
    stack.platform.settings.one_client_per_organization = False
    everybody = callers(stack, 20, each=5)
    with served(stack, "-c", LIMITED) as server, ThreadPoolExecutor(len(everybody)) as threads:
        stack.supabase_server.latency = 0.5  # so that all of them are there at once
        found = set(threads.map(lambda caller: outcome(caller, server.url + CREATE), everybody))
        stack.supabase_server.latency = 0
        assert found & {"starting", "qr_issued"}
        # What could not be opened is somebody's refusal to connect, and may be tried again.
        unavailable = {"supabase_unavailable", "platform_unavailable", "supabase_timeout", "platform_timeout"}
        assert found <= {"starting", "qr_issued", "not connected", "creation_in_progress", *unavailable}
        assert found & {"not connected", *unavailable}
        problems = [end_problems(caller, caller.call_at(server.url + CREATE)) for caller in everybody[::5]]
    assert problems == [[]] * 20


@pytest.mark.parametrize("call", ["create", "token"])
def test_callers_whose_platform_hangs_hold_up_nobody_else(stack: Stack, server: FunctionProcess, call: str) -> None:
    stack.platform.settings.qr_delay = 0
    healthy = new_caller(stack, {})
    for _ in range(2):
        assert healthy.call_at(server.url + CREATE).status_code == 200
        healthy.scan()
    sick = callers(stack, 10, each=6)
    stack.platform_server.inject(Fault(call, "hang", times=None))
    with ThreadPoolExecutor(len(sick)) as threads:
        found = [threads.submit(outcome, caller, server.url + CREATE) for caller in sick]
        wait_for(lambda: stack.platform_server.count(call) >= 5)
        answers = [healthy.call_at(server.url + CREATE).json() for _ in range(3)]
        waiting = [not outcome.done() for outcome in found]
    assert [answer["status"] for answer in answers] == ["connected"] * 3
    assert waiting == [True] * len(sick)
    # What is cut off by the deadline may also be the release of a claim.
    documented = {"platform_timeout", "supabase_timeout", "deadline_passed", "creation_in_progress"}
    assert {outcome.result() for outcome in found} <= documented


def test_people_who_wait_for_a_qr_during_a_reload_all_get_it(stack: Stack, server: FunctionProcess) -> None:
    stack.platform.settings.qr_delay = 5.0
    everybody = callers(stack, 10, each=3)
    before = workers(server)
    with ThreadPoolExecutor(len(everybody)) as threads:
        found = threads.map(lambda caller: outcome(caller, server.url + PROVISION), everybody)
        wait_for(lambda: stack.platform_server.count("create") == 10)
        reload(server)
        wait_for(lambda: workers(server) - before)
        assert list(found) == ["qr_issued"] * len(everybody)
    for caller in everybody[::3]:
        assert len(stack.platform.clients_of(caller.organization_id)) == 1
        assert caller.session().starts == 1
