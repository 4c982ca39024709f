"""One local stack and one process of each function for the whole run; an organization and a user of its own per test."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.emulator.stack import Stack
from tests.processes import FunctionProcess, function_process
from wpp.config import settings_from
from wpp.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

CREATE, PROVISION = "wpp_create", "wpp_provision"
MATRIX = pytest.StashKey[str]()
# Far below the default of 28, so that tests of slow upstreams end soon; far above what a healthy call takes.
DEADLINE_SECONDS = 4.0


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if MATRIX in config.stash:
        terminalreporter.write_line(config.stash[MATRIX])


@dataclass
class Caller:
    """A user of an organization of their own, calling the functions as supabase-js does."""

    stack: Stack
    processes: dict[str, FunctionProcess]
    organization_id: str
    user_id: str
    token: str

    def call(self, function: str, body: Any = None, **headers: str) -> requests.Response:
        return self.call_at(self.processes[function].url, body, **headers)

    def call_at(self, url: str, body: Any = None, **headers: str) -> requests.Response:
        sent = {"Authorization": f"Bearer {self.token}", "apikey": self.stack.supabase.anon_key}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return requests.post(url, json=body, headers=sent, timeout=40)

    def create(self, body: Any = None, **headers: str) -> requests.Response:
        return self.call(CREATE, body, **headers)

    def provision(self, body: Any = None, **headers: str) -> requests.Response:
        return self.call(PROVISION, body, **headers)

    def rows(self) -> list[dict[str, Any]]:
        return self.stack.supabase.rows(self.organization_id)

    def row(self) -> dict[str, Any]:
        (row,) = self.rows()
        return row

    def scan(self) -> None:
        """Plays the scan of the QR with a phone."""
        self.stack.platform.scan(self.row()["settings"]["wppAccountNumber"])


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("SUPABASE_", "WPP_", "AWS_", "CORS_")):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def _stack() -> Iterator[Stack]:
    with Stack() as stack:
        yield stack


@pytest.fixture
def stack(_stack: Stack) -> Iterator[Stack]:
    """The stack with default settings, no faults, and a platform whose QR is there soon."""
    _stack.reset()
    _stack.platform.settings.qr_delay = 0.3
    yield _stack
    _stack.reset()


@pytest.fixture(scope="session")
def processes(_stack: Stack) -> Iterator[dict[str, FunctionProcess]]:
    """Each function alone under functions-framework, started as the README says."""
    env = _stack.environment() | {"WPP_DEADLINE_SECONDS": str(DEADLINE_SECONDS), "WPP_QR_WAIT_SECONDS": "2"}
    with function_process(CREATE, env) as create, function_process(PROVISION, env) as provision:
        create.wait_until_ready()
        provision.wait_until_ready()
        yield {CREATE: create, PROVISION: provision}


@pytest.fixture
def runtime(stack: Stack) -> Iterator[Runtime]:
    """The core in this process, with a memory of its own."""
    runtime = Runtime(settings_from(stack.environment()))
    yield runtime
    runtime.close()


@pytest.fixture
def caller(stack: Stack, processes: dict[str, FunctionProcess]) -> Caller:
    return new_caller(stack, processes)


def new_caller(stack: Stack, processes: dict[str, FunctionProcess]) -> Caller:
    organization_id = str(uuid.uuid4())
    email = f"{organization_id}@example.com"
    user_id = stack.supabase.add_user(email, organization_id=organization_id)
    return Caller(stack, processes, organization_id, user_id, stack.supabase.sign_in(email))
