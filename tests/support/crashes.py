"""Clicks on servers that are killed again and again, and what that leaves at Supabase and the platform."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

import requests

from emulator.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from emulator.processes import FunctionProcess
    from emulator.stack import Stack
    from tests.support.callers import Caller

_LOOK_SECONDS = 0.01
_FAULTS = [
    Fault("*", "reset"),
    Fault("*", "reset", after_effect=True),
    Fault("*", status=503),
    Fault("*", status=500, after_effect=True),
    Fault("*", status=200, body=b"<html>"),
]


def inject_faults(stack: Stack, probability: float) -> None:
    """That share of all calls of both systems goes wrong from now on, each in one of several ways."""
    for fault in _FAULTS:
        fault.times, fault.probability = None, probability / len(_FAULTS)
        stack.supabase_server.inject(fault)
        stack.platform_server.inject(fault)


def click_once_each(
    stack: Stack, callers: Sequence[Caller], servers: Sequence[FunctionProcess], threads: int
) -> Counter[int]:
    """The statuses of the answers, 0 for none, while servers are killed, whenever one has a client created, and started again.

    In the end all of them are killed.
    """

    def click(caller: Caller) -> int:
        with suppress(requests.RequestException):
            return caller.call_at(f"{_listening(servers).url}/functions/v1/wpp-create").status_code
        return 0

    with _killing(stack, servers), ThreadPoolExecutor(threads) as clicking:
        statuses = Counter(clicking.map(click, callers))
    for server in servers:
        server.kill()
    return statuses


def _listening(servers: Sequence[FunctionProcess]) -> FunctionProcess:
    """Any that takes connections: a click that reaches nobody would be none."""
    while True:
        server = random.choice(servers)
        try:
            socket.create_connection(("127.0.0.1", server.port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return server


@contextmanager
def _killing(stack: Stack, servers: Sequence[FunctionProcess]) -> Iterator[None]:
    done = threading.Event()

    def kill() -> None:
        while not done.is_set():
            seen = stack.platform_server.count("create")
            while stack.platform_server.count("create") == seen and not done.wait(_LOOK_SECONDS):
                pass
            server = random.choice(servers)
            server.start_again()
            server.wait_until_ready()

    killing = threading.Thread(target=kill)
    killing.start()
    try:
        yield
    finally:
        done.set()
        killing.join()


class Remains(NamedTuple):
    rows: int
    clients: int
    unfinished: int
    """Rows without a key, or with a claim that nobody holds."""
    without_a_row: int
    """Clients at the platform whose key no row has."""
    doubled: int
    """Organizations with more than one client."""
    restarts: int
    """Of sessions while they ran."""

    @property
    def are_in_order(self) -> bool:
        return self[2:] == (0, 0, 0, 0) and self.rows == self.clients


def remains(stack: Stack) -> Remains:
    settings = [row["settings"] for row in stack.supabase.rows()]
    keys = {one.get("wppApiKey") for one in settings}
    clients = stack.platform.clients
    return Remains(
        len(settings),
        len(clients),
        sum("wppApiKey" not in one or "beat" in one.get("wppClaim", {}) for one in settings),
        sum(client.api_key not in keys for client in clients),
        sum(count > 1 for count in Counter(client.organization_id for client in clients).values()),
        sum(session.restarts for session in stack.platform.sessions.values()),
    )
