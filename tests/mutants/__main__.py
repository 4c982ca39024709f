"""Mutation testing: python -m tests.mutants run | table

`run` goes on where the last run ended. What it knows is kept in .mutants; without that folder everything is checked again.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.mutants.generated import generate, mutants
from tests.mutants.selection import PATHS
from tests.mutants.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.mutants.generated import Mutant

_OPTIONS = (
    *("-p", "tests.mutants.in_process", "-p", "no:cacheprovider", "-p", "no:xdist"),
    *("--hypothesis-seed=0", "-s", "-qq", "--no-header", "--no-summary"),
    "--tb=native",  # fast: nobody reads it
    # In one process with all the others, it would be blamed on whichever test runs when the garbage is collected.
    *("-W", "ignore::pytest.PytestUnraisableExceptionWarning"),
)


def _run(arguments: argparse.Namespace) -> int:
    give_up = time.monotonic() + arguments.minutes * 60
    lock = os.open(Path(__file__).parent, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit("error: another make mutants runs in this folder")
    generate(arguments.jobs)
    import pytest  # after the mutants are there: it loads what imports wpp

    from tests.mutants.checking import Checking

    chosen = _chosen(arguments.module)
    code = int(pytest.main([*PATHS, *_OPTIONS], plugins=[Checking(chosen, arguments.jobs, give_up)]))
    _print(Table(chosen, whole=arguments.module is None).lines())
    return code


def _table(arguments: argparse.Namespace) -> int:
    table = Table(_chosen(arguments.module), whole=arguments.module is None)
    _print([*table.survivors(), *table.lines()])
    return 0


def _chosen(module: str | None) -> list[Mutant]:
    found = mutants(module)
    if not found:
        sys.exit(f"error: there are no mutants of {module or 'anything yet: make mutants'}")
    return found


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    commands = parser.add_subparsers(required=True)
    run = commands.add_parser("run")
    run.set_defaults(command=_run)
    run.add_argument("--minutes", type=float, default=30)
    run.add_argument("--jobs", type=int, default=3, help="more than there are cores: many tests wait")
    shown = commands.add_parser("table")
    shown.set_defaults(command=_table)
    for command in (run, shown):
        command.add_argument("--module")
    arguments = parser.parse_args()
    return int(arguments.command(arguments))


if __name__ == "__main__":
    sys.exit(main())
