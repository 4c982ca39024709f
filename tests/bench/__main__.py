"""`make bench`: what a user waits for and what a call costs, beside baselines measured in the same run.

    python -m tests.bench [--since COMMIT] [--json FILE] [PART …]

Prints a table, writes it as JSON, and holds the ratios against budgets.toml: exit status 1 if one is broken. Not a test: a busy
machine breaks budgets too. With `--since`, that commit is measured in turn, and the ratios to it are printed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from emulator.processes import ROOT
from emulator.stack import Stack
from tests.bench import best_effort, calls, dripping, polling, recovery, starts, throughput, waiting
from tests.bench.measured import framework, sources_of
from tests.bench.report import Report, machine

_ROUNDS = 11


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure the functions.")
    parser.add_argument(
        "parts",
        nargs="*",
        metavar="PART",
        help="latency qr cost rps memory starts lambda growth waiting hanging dripping recovery best_effort; default: all",
    )
    parser.add_argument("--since", metavar="COMMIT", help="measure this commit too, and print the ratios to it")
    parser.add_argument("--json", type=Path, default=ROOT / "dist/bench.json", help="where the figures go as JSON")
    given = parser.parse_args()
    report, began = Report(), time.monotonic()
    print(", ".join(f"{name} {value}" for name, value in machine().items()))
    with tempfile.TemporaryDirectory() as name, Stack() as stack:
        _measure(report, stack, Path(name), given.parts, given.since)
    broken = report.check()
    report.save(given.json, broken)
    print(f"\n{time.monotonic() - began:.0f} seconds; as JSON: {given.json}")
    return 1 if broken else 0


def _measure(report: Report, stack: Stack, folder: Path, parts: list[str], commit: str | None) -> None:
    since = sources_of(commit, folder / "since") if commit else None
    empty = calls.empty_handler(folder)
    (user,) = calls.new_users(stack, 1)
    with framework(calls.CREATE, "wpp_create", stack.environment()) as create:
        calls.connect(stack, create.url, [user])
    measurements = {
        "latency": lambda: calls.latency(report, stack, user, empty),
        "qr": lambda: polling.requests_per_qr(report, stack),
        "cost": lambda: calls.cost(report, stack, user, empty, since),
        "rps": lambda: throughput.throughput(report, stack, user, since),
        "memory": lambda: calls.memory_of_a_worker(report, stack, user),
        "starts": lambda: starts.framework_starts(report, stack, user, folder, _ROUNDS, since),
        "lambda": lambda: starts.lambda_starts(report, stack, user, folder / "lambda", _ROUNDS),
        "growth": lambda: calls.growth(report, stack),
        "waiting": lambda: waiting.waiting(report, stack),
        "hanging": lambda: waiting.hanging(report, stack),
        "dripping": lambda: dripping.dripping(report, stack),
        "recovery": lambda: recovery.recovery(report, stack),
        "best_effort": lambda: best_effort.best_effort(report, stack),
    }
    for name in parts or measurements:
        for system in (stack.supabase_server, stack.platform_server):
            system.clear()  # so that what was recorded before does not grow on the processors that are measured
        measurements[name]()


if __name__ == "__main__":
    sys.exit(main())
