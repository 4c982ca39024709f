"""Callers in a process of their own, so that making the calls takes nothing from whoever answers them.

    python -m tests.bench.load < {"url": …, "tokens": […], "connections": 8, "calls": 500}

Each connection sends its next call when the answer to the last one is there, kept open or opened anew; the tokens take turns.
Prints JSON: `seconds` in all, `times` of each call in seconds, and `server_timing` of the last answer.
"""

from __future__ import annotations

import json
import selectors
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from itertools import cycle
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from emulator.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SILENCE = 60.0  # seconds without any answer


@dataclass
class Load:
    """How long the calls took."""

    seconds: float
    times: list[float]
    server_timing: str

    @property
    def per_second(self) -> float:
        return len(self.times) / self.seconds


def load(
    url: str,
    tokens: Sequence[str],
    *,
    connections: int = 1,
    calls: int,
    pause: float = 0.0,
    accepted: Sequence[int] = (200,),
    keep: bool = True,
    within: float = 0.0,
) -> Load:
    """Makes the calls from another process, on one connection with a pause in seconds after each. The first calls of the
    connections are spread over `within` seconds, in which no answer is expected.

    Without `keep`, each call is sent on a new connection, as by a client who comes for the first time.

    Raises CalledProcessError if an answer has another status than the accepted ones.
    """
    job = {"url": url, "tokens": list(tokens), "connections": connections, "calls": calls}
    job |= {"pause": pause, "accepted": list(accepted), "keep": keep, "within": within}
    command = [sys.executable, "-m", "tests.bench.load"]
    done = subprocess.run(command, input=json.dumps(job).encode(), cwd=ROOT, check=True, stdout=subprocess.PIPE)
    return Load(**json.loads(done.stdout))


@dataclass
class _Connection:
    socket: socket.socket
    began: float = 0.0
    received: bytearray = field(default_factory=bytearray)

    def reconnect(self) -> None:
        host, port = self.socket.getpeername()
        self.socket.close()
        self.socket = _open(host, port).socket

    def send(self, request: bytes) -> None:
        self.received.clear()
        self.began = time.perf_counter()
        self.socket.sendall(request)

    def answered(self) -> str | None:
        """The head of the answer once all of it is there."""
        piece = self.socket.recv(65_536)
        if not piece:
            raise ConnectionError(f"hung up after {bytes(self.received)!r}")
        self.received += piece
        head, found, body = self.received.partition(b"\r\n\r\n")
        if not found:
            return None
        text = head.decode("latin-1")
        length = int(_header(text, "content-length") or 0)
        return text if len(body) >= length else None


def _header(head: str, name: str) -> str:
    for line in head.split("\r\n")[1:]:
        found, _, value = line.partition(":")
        if found.lower() == name:
            return value.strip()
    return ""


def _run(
    url: str,
    tokens: Sequence[str],
    connections: int,
    calls: int,
    pause: float,
    accepted: Sequence[int],
    *,
    keep: bool,
    within: float,
) -> Load:
    address = urlsplit(url)
    assert address.hostname is not None
    requests = cycle([_request(address.netloc, address.path or "/", token) for token in tokens])
    opened = [_open(address.hostname, address.port or 80) for _ in range(connections)]
    began = time.perf_counter()
    times, head = _called(opened, requests, calls, pause, accepted, keep=keep, within=within)
    seconds = time.perf_counter() - began
    for connection in opened:
        connection.socket.close()
    return Load(seconds, times, _header(head, "server-timing"))


def _open(host: str, port: int) -> _Connection:
    opened = socket.create_connection((host, port), timeout=_SILENCE)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return _Connection(opened)


def _called(
    opened: Sequence[_Connection],
    requests: Iterator[bytes],
    calls: int,
    pause: float,
    accepted: Sequence[int],
    *,
    keep: bool,
    within: float,
) -> tuple[list[float], str]:
    times: list[float] = []
    head = ""
    left = calls
    with selectors.DefaultSelector() as selector:
        for connection in opened[:calls]:
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            connection.send(next(requests))
            left -= 1
            time.sleep(within / len(opened))
        while len(times) < calls:
            ready = selector.select(_SILENCE)
            if not ready:
                raise TimeoutError(f"no answer for {_SILENCE:.0f} seconds")
            for key, _ in ready:
                connection = key.data
                answer = connection.answered()
                if answer is None:
                    continue
                times.append(time.perf_counter() - connection.began)
                if int(answer.split()[1]) not in accepted:
                    raise ValueError(answer + bytes(connection.received).decode("latin-1")[-600:])
                head = answer
                if left:
                    time.sleep(pause)
                    if not keep:
                        selector.unregister(connection.socket)
                        connection.reconnect()
                        selector.register(connection.socket, selectors.EVENT_READ, connection)
                    connection.send(next(requests))
                    left -= 1
    return times, head


def _request(host: str, path: str, token: str) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}".encode()


if __name__ == "__main__":
    print(json.dumps(_run(**json.load(sys.stdin)).__dict__))
