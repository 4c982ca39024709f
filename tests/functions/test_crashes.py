"""A process killed with SIGKILL before and after each step of a creation or disconnection: the next call finishes the job."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import pytest
import requests

from emulator.faults import Fault
from emulator.processes import free_port, server_process
from emulator.stack import Stack
from tests.support.callers import new_caller
from tests.support.faults import ROWS, end_problems
from tests.support.servers import wait_for

# Seconds: 6 until a claim is known to be dead, up to 10 that a dead start is given, and the creation itself.
DEADLINE = 20
STEPS = [f"rest.POST.{ROWS}", "create", f"rest.PATCH.{ROWS}", "token", "status", "qr", "webhook", "start"]


def problems_after_a_kill(step: str, *, after_effect: bool) -> list[str]:
    with Stack() as stack:
        stack.platform.settings.qr_delay = 0
        stack.platform.settings.one_client_per_organization = False
        stack.platform.settings.create_starts = step != "start"
        caller = new_caller(stack, {})
        env = stack.environment() | {"WPP_DEADLINE_SECONDS": str(DEADLINE), "WPP_QR_WAIT_SECONDS": "1"}
        server = stack.supabase_server if step.startswith("rest.") else stack.platform_server
        server.inject(Fault(step, "hang", after_effect=after_effect, times=None))

        with server_process(env, free_port()) as victim, ThreadPoolExecutor(1) as threads:
            victim.wait_until_ready()
            threads.submit(lambda: _call_to_death(f"{victim.url}/functions/v1/wpp-create", caller.token))
            wait_for(lambda: server.count(step) > 0)
            victim.kill()
        server.clear_faults()

        with server_process(env, free_port()) as successor:
            successor.wait_until_ready()
            answer = caller.call_at(f"{successor.url}/functions/v1/wpp-provision")
            return [f"{step}, after_effect={after_effect}: {problem}" for problem in end_problems(caller, answer)]


DISCONNECTING = [(f"rest.PATCH.{ROWS}", 0), ("stop", 0), (f"rest.PATCH.{ROWS}", 1)]
"""The steps, with how many calls of the same name come before."""


def problems_after_a_killed_disconnection(step: str, skip: int, *, after_effect: bool) -> list[str]:
    with Stack() as stack:
        stack.platform.settings.qr_delay = 0
        caller = new_caller(stack, {})
        env = stack.environment() | {"WPP_DEADLINE_SECONDS": str(DEADLINE)}
        with server_process(env, free_port()) as victim, ThreadPoolExecutor(1) as threads:
            victim.wait_until_ready()
            before = caller.call_at(f"{victim.url}/functions/v1/wpp-create").json()["session"]
            server = stack.supabase_server if step.startswith("rest.") else stack.platform_server
            server.clear()
            server.inject(Fault(step, "hang", after_effect=after_effect, skip=skip, times=None))
            threads.submit(lambda: _call_to_death(f"{victim.url}/functions/v1/wpp-disconnect", caller.token))
            wait_for(lambda: server.count(step) > skip)
            victim.kill()
        server.clear_faults()

        with server_process(env, free_port()) as successor:
            successor.wait_until_ready()
            answer = caller.call_at(f"{successor.url}/functions/v1/wpp-disconnect")
            found = (answer.status_code, caller.row()["is_active"], caller.session().started_at)
            problems = [] if found == (200, False, None) else [f"status, active, started are {found}"]
            answer = caller.call_at(f"{successor.url}/functions/v1/wpp-provision")
            problems += end_problems(caller, answer)
            if answer.json().get("session") != before:
                problems.append("another session")
            return [f"disconnecting, {step} {skip}, after_effect={after_effect}: {problem}" for problem in problems]


def _call_to_death(url: str, token: str) -> None:
    with suppress(requests.RequestException):
        requests.post(url, headers={"Authorization": f"Bearer {token}"}, timeout=30)


def test_what_was_killed_at_any_step_is_finished_by_the_next_call_to_another_process() -> None:
    cells = [partial(problems_after_a_kill, step, after_effect=after) for step in STEPS for after in (False, True)]
    cells += [
        partial(problems_after_a_killed_disconnection, step, skip, after_effect=after)
        for step, skip in DISCONNECTING
        for after in (False, True)
    ]
    with ThreadPoolExecutor(len(cells)) as threads:
        found = list(threads.map(lambda cell: cell(), cells))
    broken = [problem for problems in found for problem in problems]
    if broken:
        pytest.fail("\n".join(broken), pytrace=False)
