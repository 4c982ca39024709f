"""A local stack and the functions' processes for each process of pytest; an organization and a user of its own for each test."""

from __future__ import annotations

import gc
import os
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from emulator.processes import FunctionProcess, function_process
from emulator.stack import Stack
from tests.support.callers import DEADLINE_SECONDS, FUNCTIONS, Caller, new_caller
from tests.support.prepared import PreparedProcess
from wpp.config import config_from
from wpp.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

# The background job of a script ignores SIGINT, and so would all processes that it starts, Ctrl-C or not.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_LONGEST = ("test_fault_matrix.py", "test_server_overload.py")

pytest_plugins = ["tests.support.projects", "tests.support.ledger"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: begun late, they would go on by themselves when all others are done."""
    items.sort(key=lambda item: item.path.name not in _LONGEST)


def pytest_collection_finish() -> None:
    gc.freeze()  # thousands of tests and what they import: looked through again and again, and never freed


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("SUPABASE_", "WPP_", "AWS_", "CORS_")) or name in (
            "LOG_LEVEL",
            "FUNCTIONS_DIR",
            "METRICS_PORT",
        ):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def _stack() -> Iterator[Stack]:
    with Stack() as stack:
        yield stack


@pytest.fixture
def stack(_stack: Stack) -> Iterator[Stack]:
    """The stack with default settings, without faults, and a platform that soon has a QR."""
    _stack.reset()
    _stack.platform.settings.qr_delay = 0.3
    yield _stack
    _stack.reset()


@pytest.fixture(scope="session")
def processes(_stack: Stack) -> Iterator[dict[str, FunctionProcess]]:
    """Each function alone under functions-framework."""
    env = _stack.environment() | {"WPP_DEADLINE_SECONDS": str(DEADLINE_SECONDS), "WPP_QR_WAIT_SECONDS": "1.5"}
    with ExitStack() as running:
        started = {name: running.enter_context(function_process(name, env, PreparedProcess)) for name in FUNCTIONS}
        for process in started.values():
            process.wait_until_ready()
        yield started


@pytest.fixture
def runtime(stack: Stack) -> Iterator[Runtime]:
    """The core in this process, with a memory of its own."""
    runtime = Runtime(config_from(stack.environment()))
    yield runtime
    runtime.close()


@pytest.fixture
def caller(stack: Stack, processes: dict[str, FunctionProcess]) -> Caller:
    return new_caller(stack, processes)
