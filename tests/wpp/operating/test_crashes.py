"""The soak in small: processes that are killed, faults, one click each, and then nobody comes again but the reconciler."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import requests

from emulator.faults import Fault
from emulator.processes import free_port, server_process
from tests.support.callers import new_caller
from tests.support.crashes import click_once_each, inject_faults, remains
from tests.support.servers import wait_for

if TYPE_CHECKING:
    from emulator.processes import FunctionProcess
    from emulator.stack import Stack
    from tests.support.fleet import Fleet
    from tests.support.ledger import Ledger


def clear_faults(stack: Stack) -> None:
    stack.platform_server.clear_faults()
    stack.supabase_server.clear_faults()


def die_while_creating(stack: Stack, server: FunctionProcess) -> None:
    """Whatever the other kills met, this one leaves a row unfinished."""
    caller = new_caller(stack, {})
    server.start_again()
    server.wait_until_ready()
    before = stack.platform_server.count("create")
    stack.platform_server.inject(Fault("create", "hang", after_effect=True))

    def click() -> None:
        while (
            stack.platform_server.count("create") == before
        ):  # on a busy machine, a new process's first call can be too slow
            with suppress(requests.RequestException):
                caller.call_at(f"{server.url}/functions/v1/wpp-create")

    with ThreadPoolExecutor(1) as threads:
        threads.submit(click)
        wait_for(lambda: stack.platform_server.count("create") > before)
        server.kill()


def test_after_crashes_without_further_clicks_nothing_is_unfinished_and_no_client_without_a_row(
    fleet: Fleet, ledger: Ledger
) -> None:
    stack = fleet.stack
    stack.platform.settings.one_client_per_organization = False
    callers = [new_caller(stack, {}) for _ in range(40)]
    with ExitStack() as running:
        env = stack.environment() | {"WPP_DEADLINE_SECONDS": "3", "LOG_LEVEL": "CRITICAL"}
        servers = [running.enter_context(server_process(env, free_port())) for _ in range(2)]
        for server in servers:
            server.wait_until_ready()
        inject_faults(stack, 0.05)
        # Slow enough for some of the kills to meet it.
        stack.platform_server.inject(Fault("create", status=0, delay=0.3, times=None))
        click_once_each(stack, callers, servers, threads=20)
        clear_faults(stack)
        die_while_creating(stack, servers[0])
        inject_faults(stack, 0.05)
    crashed = remains(stack)
    assert crashed.unfinished

    fleet.reconcile(fix=True)
    clear_faults(stack)
    fleet.reconcile(fix=True)
    ledger.line(f"crashes left {crashed.unfinished} rows unfinished and {crashed.without_a_row} clients without a row")
    assert remains(stack).are_in_order, remains(stack)
