"""Clients that send a byte a second: who else is held up by them, and for how long."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from itertools import cycle, islice
from typing import TYPE_CHECKING

from tests.bench.calls import new_users
from tests.bench.measured import server
from tests.bench.waiting import bystander

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from emulator.stack import Stack
    from tests.bench.report import Report

_CONNECTIONS = 150
_SECONDS = 13.0  # longer than the 10 that a body may take
_LINE = b"POST /functions/v1/wpp-create HTTP/1.1\r\nHost: a\r\n"
_BODY = b"Content-Length: 60000\r\n\r\n{"


def dripping(report: Report, stack: Stack) -> None:
    report.heading(
        f"{_CONNECTIONS} connections that send a byte a second, of the head, of a body without a token and of one with a token"
    )
    (user,) = new_users(stack, 1)
    token = f"Authorization: Bearer {user.token}\r\n".encode()
    beginnings = [_LINE + b"X-Slow: ", _LINE + _BODY, _LINE + token + _BODY]
    with server(stack.environment()) as process:
        drips = _Drips(process.port, list(islice(cycle(beginnings), _CONNECTIONS)))
        with bystander(stack, process, _SECONDS, keep=False) as other, drips.running():
            other.result()
    report.times("an organization meanwhile, each call on a new connection", other.result().times)
    report.number("bytes dripped one by one", drips.sent, "")
    report.number("connections that the server ended, each opened again", drips.ended, "")
    report.ratio("dripping_other_organization_seconds", max(other.result().times))


class _Drips:
    """As many connections as there are beginnings of a request: what each sends at once. One that ends is opened again."""

    def __init__(self, port: int, beginnings: Sequence[bytes]) -> None:
        self.ended = self.sent = 0
        self._port = port
        self._beginnings = beginnings
        self._stop = threading.Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        connections = [self._opened(beginning) for beginning in self._beginnings]
        thread = threading.Thread(target=self._drip, args=[connections])
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()
            for connection in connections:
                connection.close()

    def _drip(self, connections: list[socket.socket]) -> None:
        while not self._stop.wait(1.0):
            for number, beginning in enumerate(self._beginnings):
                self.sent += 1
                if not _goes_on(connections[number]):
                    self.ended += 1
                    connections[number].close()
                    connections[number] = self._opened(beginning)

    def _opened(self, beginning: bytes) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self._port), timeout=10)
        connection.sendall(beginning)
        connection.setblocking(False)  # with a timeout, Python would wait that long for something to read
        return connection


def _goes_on(connection: socket.socket) -> bool:
    """Sends a byte. Whether the server keeps the connection."""
    try:
        connection.send(b" ")
        return connection.recv(65_536) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False
