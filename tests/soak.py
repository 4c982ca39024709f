"""`make soak`: 1,000 organizations provisioned through 4 processes while 5% of all upstream calls go wrong.

Callers try again as the web client does, after `Retry-After` where it says so. In the end every organization must have one client
and one active row with its key; the platform is one that makes a new client whenever it is not asked under the same idempotency
key. /metrics, the log and the systems must have counted the same. Ends by itself within LIMIT seconds.

Then CRASHED further organizations click once each while the processes are killed with `kill -9` again and again, and nobody comes
again. `python -m wpp reconcile --fix` is killed, too, and called again; after it, no row may be unfinished, and no client without
a row.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

import requests

from emulator.faults import Fault
from emulator.processes import ROOT, FunctionProcess, free_port, server_process
from emulator.stack import Stack
from tests.support.callers import Caller, new_caller
from tests.support.cli import environment
from tests.support.crashes import click_once_each, inject_faults, remains
from tests.support.metrics import logged_calls, logged_requests, received, samples
from tests.support.servers import start_server

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ORGANIZATIONS, PROCESSES, CALLERS = 1000, 4, 48
LIMIT = 420.0  # seconds
CRASHED = 250  # organizations
SHARE = 0.05  # of all upstream calls, which go wrong
_KILLED_AFTER = 3.0  # seconds


def main() -> int:
    began = time.monotonic()
    codes = [_soaked(), _crashed()]
    print(f"{time.monotonic() - began:.0f} s in all")
    return max(codes)


def _soaked() -> int:
    with ExitStack() as running:
        stack = running.enter_context(Stack())
        metrics_port = free_port()
        shared = running.enter_context(tempfile.TemporaryDirectory())
        metered = {"PROMETHEUS_MULTIPROC_DIR": shared, "METRICS_PORT": str(metrics_port), "LOG_LEVEL": "INFO"}
        servers = _servers(stack, running, metered)
        running.enter_context(start_server(ROOT / "functions", metered, ["--bind", f"127.0.0.1:{metrics_port}"]))
        callers = [new_caller(stack, {}) for _ in range(ORGANIZATIONS)]
        inject_faults(stack, SHARE)

        began = time.monotonic()
        with ThreadPoolExecutor(CALLERS) as threads:
            answers = list(threads.map(lambda caller: _connect(caller, servers, began), callers))
        took = time.monotonic() - began
        agree = _counts_agree(stack, servers, f"http://127.0.0.1:{metrics_port}/metrics")
        return max(_report(stack, callers, answers, took), 0 if agree else 1)


def _counts_agree(stack: Stack, servers: Sequence[FunctionProcess], metrics_url: str) -> bool:
    """Whether /metrics, the log, and the systems that were asked counted the same, number by number."""
    output = "\n".join(server.output() for server in servers)
    calls = samples(metrics_url, "wpp_calls_total", "function", "status", "code"), logged_calls(output)
    requests_counted = (
        samples(metrics_url, "wpp_upstream_requests_total", "system", "call", "result"),
        logged_requests(output),
        received(stack),
    )
    for counted in (calls, requests_counted):
        for key in sorted(set().union(*counted)):
            if len({one[key] for one in counted}) > 1:
                print(
                    f"{' '.join(key)} was counted differently by /metrics, log and systems: {[one[key] for one in counted]}"
                )
    totals = [calls[0].total(), *(counted.total() for counted in requests_counted)]
    print(f"/metrics: {totals[0]} calls; upstream requests by /metrics, log and systems: {totals[1:]}")
    return len(set(map(frozenset, (one.items() for one in requests_counted)))) == 1 and calls[0] == calls[1]


def _servers(stack: Stack, running: ExitStack, more: Mapping[str, str]) -> list[FunctionProcess]:
    stack.platform.settings.one_client_per_organization = False
    stack.platform.settings.qr_delay = 0.2
    env = stack.environment() | {"WPP_DEADLINE_SECONDS": "8", "WPP_QR_WAIT_SECONDS": "2", **more}
    servers = [running.enter_context(server_process(env, free_port())) for _ in range(PROCESSES)]
    for server in servers:
        server.wait_until_ready()
    return servers


def _crashed() -> int:
    with ExitStack() as running:
        stack = running.enter_context(Stack())
        servers = _servers(stack, running, {"LOG_LEVEL": "ERROR"})
        callers = [new_caller(stack, {}) for _ in range(CRASHED)]
        inject_faults(stack, SHARE)
        stack.platform_server.inject(
            Fault("create", status=0, delay=0.1, times=None)
        )  # for some of the kills to meet it
        statuses = click_once_each(stack, callers, servers, CALLERS)
        print(f"{CRASHED} organizations, one click each, while the processes were killed: answers {dict(statuses)}")
        print(remains(stack))

        _reconcile(stack, killed_after=_KILLED_AFTER)
        code = _reconcile(stack)
        if code:  # a fault met it so often that it gave a number up
            stack.supabase_server.clear_faults()
            stack.platform_server.clear_faults()
            code = _reconcile(stack)
        left = remains(stack)
        is_right = code == 0 and left.are_in_order
        print(left)
        print("0 unfinished rows, 0 clients without a row" if is_right else "NOT as promised")
        return 0 if is_right else 1


def _reconcile(stack: Stack, killed_after: float | None = None) -> int:
    command = [sys.executable, "-m", "wpp", "reconcile", "--fix", "--json", "--rate", "50"]
    began = time.monotonic()
    with subprocess.Popen(command, env=environment(stack), stdout=subprocess.PIPE, text=True) as process:
        try:
            printed, _ = process.communicate(timeout=killed_after)
        except subprocess.TimeoutExpired:
            process.kill()
            printed, _ = process.communicate()
    summary = next((line for line in printed.splitlines() if "summary" in json.loads(line)), "killed")
    print(f"reconcile --fix: {summary}, exit code {process.returncode}, {time.monotonic() - began:.0f} s")
    return process.returncode


def _connect(caller: Caller, servers: list[FunctionProcess], began: float) -> Counter[int]:
    """Calls until it is connected or has a QR; the statuses on the way."""
    statuses: Counter[int] = Counter()
    while time.monotonic() - began < LIMIT:
        name = random.choice(("wpp-create", "wpp-provision"))
        try:
            answer = caller.call_at(f"{random.choice(servers).url}/functions/v1/{name}")
        except requests.RequestException:
            statuses[0] += 1
            continue
        statuses[answer.status_code] += 1
        if answer.status_code == 500:
            print(f"unexpected: {answer.text}")
        if answer.status_code == 200 and answer.json()["status"] == "qr_issued":
            break
        time.sleep(min(float(answer.headers.get("Retry-After", 0.2)), 5))
    return statuses


def _report(stack: Stack, callers: list[Caller], answers: list[Counter[int]], took: float) -> int:
    clients = Counter(client.organization_id for client in stack.platform.clients)
    rows = stack.supabase.rows()
    keys = {client.organization_id: client.api_key for client in stack.platform.clients}
    right = [
        row for row in rows if row["is_active"] and row["settings"].get("wppApiKey") == keys.get(row["organization_id"])
    ]
    restarts = sum(session.restarts for session in stack.platform.sessions.values())
    statuses = sum(answers, Counter[int]())
    received = [*stack.supabase_server.received, *stack.platform_server.received]
    injected = sum(call.status in (0, 500, 503) or call.answer == b"<html>" for call in received)
    print(f"{len(callers)} organizations through {PROCESSES} processes in {took:.0f} s, answers {dict(statuses)}")
    print(f"clients {sum(clients.values())}, rows {len(rows)}, active rows with their client's key {len(right)}")
    print(f"sessions started again while they ran {restarts}, calls {len(received)}, of them broken {injected}")
    counts = (sum(clients.values()), len(clients), len(rows), len(right))
    whole = counts == (len(callers),) * 4
    print("nothing lost, nothing doubled" if whole and not restarts else "NOT as promised")
    return 0 if whole and not restarts else 1


if __name__ == "__main__":
    sys.exit(main())
