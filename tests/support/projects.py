"""A stack of its own with every kind of signing key, the functions in front of it, and the ledger of what was tried on them."""

from __future__ import annotations

import uuid
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from emulator.processes import FunctionProcess, function_process
from emulator.stack import Stack
from tests.support.callers import CREATE, DEADLINE_SECONDS, PROVISION, Caller, new_caller

if TYPE_CHECKING:
    from collections.abc import Iterator

Processes = dict[str, FunctionProcess]


@dataclass
class Ledger:
    """Attacks by kind: how many were tried, how many of them refused, and how many calls they caused upstream."""

    tried: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    reached: Counter[str] = field(default_factory=Counter)

    def note(self, kind: str, *, refused: bool, reached: int) -> None:
        self.tried[kind] += 1
        self.refused[kind] += refused
        self.reached[kind] += reached

    def table(self) -> list[str]:
        rows = [(kind, self.tried[kind], self.refused[kind], self.reached[kind]) for kind in sorted(self.tried)]
        total = ("all", self.tried.total(), self.refused.total(), self.reached.total())
        head = f"{'attack':<44}{'tried':>8}{'refused':>9}{'reached upstream':>18}"
        return [
            head,
            *(f"{kind:<44}{tried:>8}{refused:>9}{reached:>18}" for kind, tried, refused, reached in [*rows, total]),
        ]


_LEDGER = pytest.StashKey[Ledger]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_LEDGER] = Ledger()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    ledger = config.stash.get(_LEDGER, Ledger())
    if ledger.tried:
        terminalreporter.section("attacks on the running functions")
        for line in ledger.table():
            terminalreporter.write_line(line)


@pytest.fixture
def ledger(pytestconfig: pytest.Config) -> Ledger:
    return pytestconfig.stash.setdefault(_LEDGER, Ledger())


@dataclass
class Project:
    """A Supabase project by how it signs, with both functions and a user who may use them."""

    stack: Stack
    algorithm: str
    processes: Processes
    victim: Caller

    def received(self) -> list[str]:
        """The calls that reached Supabase or the platform. The public keys are no data: loading them does not count."""
        servers = (self.stack.supabase_server, self.stack.platform_server)
        return [r.call for server in servers for r in list(server.received) if r.call != "auth.jwks"]

    def forget(self) -> None:
        self.stack.supabase_server.clear()
        self.stack.platform_server.clear()


@pytest.fixture(scope="session")
def projects() -> Iterator[dict[str, Project]]:
    """By signing algorithm. The HS256 one publishes keys too, as a project does that is moving to them; the others have no
    shared secret."""
    with Stack() as stack, ExitStack() as running:
        for algorithm in ("ES256", "RS256"):
            stack.supabase.auth.signing_key(algorithm)
        own = {"WPP_DEADLINE_SECONDS": str(DEADLINE_SECONDS), "WPP_QR_WAIT_SECONDS": "4", "LOG_LEVEL": "DEBUG"}
        shared = stack.environment() | own
        keyed = {name: value for name, value in shared.items() if name != "SUPABASE_JWT_SECRET"}
        served = {}
        for kind, env in (("shared", shared), ("keyed", keyed)):
            served[kind] = {n: running.enter_context(function_process(n, env)) for n in (CREATE, PROVISION)}
        for process in (p for processes in served.values() for p in processes.values()):
            process.wait_until_ready()
        yield {
            "HS256": _project(stack, "HS256", served["shared"]),
            "ES256": _project(stack, "ES256", served["keyed"]),
            "RS256": _project(stack, "RS256", served["keyed"]),
        }


def _project(stack: Stack, algorithm: str, processes: Processes) -> Project:
    victim = new_caller(stack, processes)
    auth = stack.supabase.auth
    victim.token = auth.sign(auth.claims(victim.user_id), algorithm)
    return Project(stack, algorithm, processes, victim)


def random_email() -> str:
    return f"{uuid.uuid4()}@example.com"
