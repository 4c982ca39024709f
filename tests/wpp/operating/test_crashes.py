"""The soak in small: processes that are killed, faults, one click each, and then nobody comes again but the reconciler."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from emulator.faults import Fault
from emulator.processes import free_port, server_process
from tests.support.callers import new_caller
from tests.support.crashes import click_once_each, inject_faults, remains

if TYPE_CHECKING:
    from tests.support.fleet import Fleet
    from tests.support.ledger import Ledger


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
    crashed = remains(stack)
    assert crashed.unfinished

    fleet.reconcile(fix=True)
    stack.platform_server.clear_faults()
    stack.supabase_server.clear_faults()
    fleet.reconcile(fix=True)
    ledger.line(f"crashes left {crashed.unfinished} rows unfinished and {crashed.without_a_row} clients without a row")
    assert remains(stack).are_in_order, remains(stack)
