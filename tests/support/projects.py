"""Supabase projects by how they sign: one stack with every kind of signing key, and the functions in front of it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from emulator.processes import FunctionProcess, function_process
from emulator.stack import Stack
from tests.support.callers import DEADLINE_SECONDS, FUNCTIONS, Caller, new_caller
from tests.support.prepared import PreparedProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

Processes = dict[str, FunctionProcess]


@dataclass
class Project:
    """A Supabase project, with the functions and a user who may use them."""

    stack: Stack
    algorithm: str
    processes: Processes
    victim: Caller

    def received(self) -> list[str]:
        """The calls that reached Supabase or the platform. Loading the public keys does not count: they are for everybody."""
        servers = (self.stack.supabase_server, self.stack.platform_server)
        return [r.call for server in servers for r in list(server.received) if r.call != "auth.jwks"]

    def forget(self) -> None:
        self.stack.supabase_server.clear()
        self.stack.platform_server.clear()


@pytest.fixture(scope="session")
def projects() -> Iterator[dict[str, Project]]:
    """By signing algorithm. The HS256 one also publishes keys, as a project that moves to them does; the others have no
    shared secret."""
    with Stack() as stack, ExitStack() as running:
        for algorithm in ("ES256", "RS256"):
            stack.supabase.auth.signing_key(algorithm)
        own = {"WPP_DEADLINE_SECONDS": str(DEADLINE_SECONDS), "WPP_QR_WAIT_SECONDS": "2", "LOG_LEVEL": "DEBUG"}
        shared = stack.environment() | own
        keyed = {name: value for name, value in shared.items() if name != "SUPABASE_JWT_SECRET"}
        served = {}
        for kind, env in (("shared", shared), ("keyed", keyed)):
            served[kind] = {n: running.enter_context(function_process(n, env, PreparedProcess)) for n in FUNCTIONS}
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
