"""A process killed with SIGKILL before and after each step of a creation or disconnection: the next call finishes the job."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest

from emulator.faults import Fault
from emulator.processes import function_process
from emulator.stack import Stack
from tests.support.callers import CREATE, Caller, call_to_death, new_caller
from tests.support.faults import ROWS, state_problems
from tests.support.prepared import PreparedProcess
from tests.support.servers import wait_for
from wpp.config import config_from
from wpp.errors import WppError
from wpp.provisioning.disconnect import disconnect
from wpp.provisioning.options import target_from
from wpp.provisioning.service import connect
from wpp.runtime import Invocation, Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

# Seconds: 6 until a claim is known to be dead, up to 10 that a dead start is given, and the creation itself.
TIMES = {"WPP_DEADLINE_SECONDS": "20", "WPP_QR_WAIT_SECONDS": "1"}
STEPS = [f"rest.POST.{ROWS}", "create", f"rest.PATCH.{ROWS}", "token", "status", "qr", "webhook", "start"]


@contextmanager
def invocation(stack: Stack) -> Iterator[Invocation]:
    """One of this process, with nothing remembered."""
    runtime = Runtime(config_from(stack.environment() | TIMES))
    try:
        yield runtime.begin("wpp-provision", "request")
    finally:
        runtime.close()


def session_of_the_next_call(caller: Caller) -> str:
    with invocation(caller.stack) as next_call:
        return connect(next_call, caller.token, wait=True).session


def kill_at(caller: Caller, function: str, fault: Fault) -> None:
    """Has a process of this function meet the fault, and kills it there."""
    stack = caller.stack
    server = stack.supabase_server if fault.call.startswith("rest.") else stack.platform_server
    server.clear()
    server.inject(fault)
    awaited = fault.skip
    with (
        function_process(function, stack.environment() | TIMES, PreparedProcess) as victim,
        ThreadPoolExecutor(1) as threads,
    ):
        victim.wait_until_ready()
        threads.submit(lambda: call_to_death(victim.url, caller.token))
        wait_for(lambda: server.count(fault.call) > awaited)
        victim.kill()
    server.clear_faults()


def problems_after_a_kill(step: str, *, after_effect: bool) -> list[str]:
    with Stack() as stack:
        stack.platform.settings.qr_delay = 0
        stack.platform.settings.one_client_per_organization = False
        stack.platform.settings.create_starts = step != "start"
        caller = new_caller(stack, {})
        kill_at(caller, CREATE, Fault(step, "hang", after_effect=after_effect, times=None))
        return state_problems(caller, session_of_the_next_call(caller))


DISCONNECTING = [(f"rest.PATCH.{ROWS}", 0), ("stop", 0), (f"rest.PATCH.{ROWS}", 1)]
"""The steps, with how many calls of the same name come before."""


def problems_after_a_killed_disconnection(step: str, skip: int, *, after_effect: bool) -> list[str]:
    with Stack() as stack:
        stack.platform.settings.qr_delay = 0
        caller = new_caller(stack, {})
        before = session_of_the_next_call(caller)
        kill_at(caller, "wpp_disconnect", Fault(step, "hang", after_effect=after_effect, skip=skip, times=None))

        with invocation(stack) as next_call:
            disconnect(next_call, caller.token, target_from({}))
        found = (caller.row()["is_active"], caller.session().started_at)
        problems = [] if found == (False, None) else [f"active, started are {found}"]
        session = session_of_the_next_call(caller)
        if session != before:
            problems.append("another session")
        return problems + state_problems(caller, session)


def problems_of(cell: partial[list[str]]) -> list[str]:
    try:
        problems = cell()
    except WppError as error:
        problems = [f"the next call failed: {error!r}"]
    return [f"{cell.func.__name__}{cell.args} {cell.keywords}: {problem}" for problem in problems]


def test_what_was_killed_at_any_step_is_finished_by_the_next_call_to_another_process() -> None:
    cells = [partial(problems_after_a_kill, step, after_effect=after) for step in STEPS for after in (False, True)]
    cells += [
        partial(problems_after_a_killed_disconnection, step, skip, after_effect=after)
        for step, skip in DISCONNECTING
        for after in (False, True)
    ]
    with ThreadPoolExecutor(len(cells)) as threads:
        found = list(threads.map(problems_of, cells))
    broken = [problem for problems in found for problem in problems]
    if broken:
        pytest.fail("\n".join(broken), pytrace=False)
