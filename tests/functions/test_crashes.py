"""A process killed with SIGKILL before and after each step of a creation: another one finishes the job within the lease."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
import requests

from emulator.faults import Fault
from emulator.processes import free_port, server_process
from emulator.stack import Stack
from tests.support.callers import Caller, new_caller
from tests.support.faults import ROWS, end_problems
from wpp.provisioning.claim import LEASE_MARGIN

DEADLINE = 2.0  # seconds
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
            _wait_for(lambda: server.count(step) > 0)
            victim.kill()
        server.clear_faults()

        with server_process(env, free_port()) as successor:
            successor.wait_until_ready()
            url = f"{successor.url}/functions/v1/wpp-provision"
            answer = caller.call_at(url)
            if answer.status_code == 503:
                _let_the_lease_run_out(caller)
                answer = caller.call_at(url)
            return [f"{step}, after_effect={after_effect}: {problem}" for problem in end_problems(caller, answer)]


def _call_to_death(url: str, token: str) -> None:
    with suppress(requests.RequestException):
        requests.post(url, headers={"Authorization": f"Bearer {token}"}, timeout=30)


def _let_the_lease_run_out(caller: Caller) -> None:
    """Moves its end to now, so that nobody has to wait for it; it may not be later than promised."""
    row = caller.row()
    seconds_left = row["settings"]["wppClaim"]["expiresAt"] / 1000 - time.time()
    assert 0 < seconds_left <= DEADLINE + LEASE_MARGIN, f"the lease lasts {seconds_left:.1f} s more"
    caller.stack.supabase.execute(
        "update messenger_integrations set settings = jsonb_set(settings, '{wppClaim,expiresAt}', to_jsonb(%s::bigint))"
        " where id = %s",
        int(time.time() * 1000),
        row["id"],
    )


def _wait_for(condition: object) -> None:
    give_up = time.monotonic() + 20
    while not condition():  # type: ignore[operator]
        if time.monotonic() > give_up:
            raise AssertionError("the step was never reached")
        time.sleep(0.01)


def test_a_killed_creation_is_finished_by_another_process_within_the_lease() -> None:
    cells = [(step, after_effect) for step in STEPS for after_effect in (False, True)]
    with ThreadPoolExecutor(len(cells)) as threads:
        found = list(threads.map(lambda cell: problems_after_a_kill(cell[0], after_effect=cell[1]), cells))
    broken = [problem for problems in found for problem in problems]
    if broken:
        pytest.fail("\n".join(broken), pytrace=False)
