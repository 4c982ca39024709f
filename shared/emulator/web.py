"""The HTTP server of both emulated systems: a real port, everything recorded, and misbehaviour on demand."""

from __future__ import annotations

import socket
import struct
import sys
import threading
import time
import traceback
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

from emulator.clock import Clock
from emulator.controls import control
from emulator.faults import Fault, Faults
from emulator.messages import Request, Response, encoded, json_response, read_request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

_RECORDED = 200_000
_UNRECORDED = ("page", "docs")  # an open page polls every second, for these very recordings
_GUARDED = ("/_emulator/", "/_page/", "/docs")  # the controls, and all that shows a secret
_DRIP_SECONDS = 0.2
_RST = struct.pack("ii", 1, 0)  # SO_LINGER on with a time of 0: close() resets the connection


class Application(Protocol):
    """State plus routes of one emulated system."""

    def route(self, request: Request) -> tuple[str, Callable[[], Response]]:
        """The call's name, which faults and recordings go by, and the function that carries it out."""
        ...

    def control(self, name: str, body: dict[str, Any]) -> Any:
        """What `POST /_emulator/<name>` does, and its answer; None for an unknown name."""
        ...


@dataclass(frozen=True)
class Received:
    call: str
    request: Request
    at: float
    """When it arrived, in seconds since 1970."""
    status: int
    """Of the answer, 0 if none was sent."""
    answer: bytes
    headers: Mapping[str, str]
    """Of the answer."""
    took: float
    """Seconds until the answer was ready or the connection was broken."""


class Server:
    """One emulated system on a port: HTTP/1.1 with keep-alive, a thread per connection, everything recorded."""

    def __init__(
        self,
        application: Application,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Clock | None = None,
        seed: int = 0,
    ) -> None:
        self.application = application
        self.clock = clock or Clock()
        self.latency = 0.0
        """Seconds added to every call."""
        self.connect_latency = 0.0
        """Seconds before a new connection is served: what the handshakes of TCP and TLS take on a real network."""
        self.received: deque[Received] = deque(maxlen=_RECORDED)
        self.connections_accepted = 0
        self._faults = Faults(seed)
        self._host, self.port = host, port
        self._listener: socket.socket | None = None
        self._kept: socket.socket | None = None
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    @property
    def url(self) -> str:
        return f"http://{self._host}:{self.port}"

    def inject(self, fault: Fault) -> None:
        self._faults.add(fault)

    def clear_faults(self) -> None:
        self._faults.clear()
        self.accept_again()

    def clear(self) -> None:
        """Forgets what was received."""
        self.received.clear()
        self.connections_accepted = 0

    def count(self, call: str) -> int:
        return sum(1 for received in list(self.received) if received.call == call)

    def accept_again(self) -> None:
        with self._lock:
            if self._listener is None and not self._stopping.is_set():
                self._listen()

    def __enter__(self) -> Self:
        with self._lock:
            if sys.platform == "linux":  # elsewhere nobody could listen beside it
                self._kept = self._bound()
                self.port = self._kept.getsockname()[1]
            self._listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._refuse()
        if self._kept is not None:
            self._kept.close()

    def _bound(self) -> socket.socket:
        """A socket on our port. One that does not listen keeps the port ours while we refuse connections."""
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((self._host, self.port))
        except OSError:
            bound.close()
            raise
        return bound

    def _listen(self) -> None:
        listener = self._bound()
        listener.listen(4096)
        self.port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=[listener], daemon=True).start()

    def _refuse(self) -> None:
        """Stops listening, and resets the connections that are open."""
        with self._lock:
            listener, self._listener = self._listener, None
            connections = list(self._connections)
        if listener is not None:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for connection in connections:
            _reset(connection)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._connections.add(connection)
                self.connections_accepted += 1
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rb") as stream:
                if self.connect_latency:
                    self._stopping.wait(self.connect_latency)
                while not self._stopping.is_set():
                    request = read_request(stream)
                    if request is None or not self._handle(connection, request):
                        break
        except (OSError, ValueError):
            pass  # the client hung up, or the server stops
        finally:
            with self._lock:
                self._connections.discard(connection)

    def _handle(self, connection: socket.socket, request: Request) -> bool:
        """Whether the connection stays open."""
        if request.is_foreign and (request.path == "/" or request.path.startswith(_GUARDED)):
            refused = json_response(403, {"error": "not for pages of other sites"})
            connection.sendall(encoded(refused, request))
            return True
        if request.path.startswith("/_emulator/"):
            connection.sendall(encoded(control(self, request), request))
            return True
        arrived = time.time()
        if self.latency:
            self._stopping.wait(self.latency)
        call, thunk = self.application.route(request)
        fault = self._faults.take(call)
        if fault is not None:
            return self._misbehave(connection, request, fault, call, thunk, arrived)
        response = _carried_out(thunk)
        # Recorded before it is sent, so that whoever has the answer finds it here.
        took = time.time() - arrived
        if call not in _UNRECORDED:
            self.received.append(
                Received(call, request, arrived, response.status, response.body, response.headers, took)
            )
        connection.sendall(encoded(response, request))
        return True

    def _misbehave(
        self,
        connection: socket.socket,
        request: Request,
        fault: Fault,
        call: str,
        thunk: Callable[[], Response],
        arrived: float,
    ) -> bool:
        waits_only = fault.action == "respond" and not fault.status
        if waits_only:
            self._stopping.wait(fault.delay)
        carries_out = fault.after_effect or waits_only or fault.action in ("truncate", "drip")
        real = _carried_out(thunk) if carries_out else Response(0)
        answer = real if waits_only else Response(fault.status, fault.body, fault.headers)
        sent = answer if fault.action == "respond" else Response(0)
        took = time.time() - arrived + (0 if waits_only else fault.delay)
        self.received.append(Received(call, request, arrived, sent.status, sent.body, sent.headers, took))
        if fault.action == "respond":
            if not waits_only:
                self._stopping.wait(fault.delay)
            connection.sendall(encoded(answer, request))
            return True
        self._break(connection, fault, encoded(real, request), len(real.body))
        return False

    def _break(self, connection: socket.socket, fault: Fault, whole: bytes, body_length: int) -> None:
        if fault.action == "truncate":
            connection.sendall(whole[: len(whole) - body_length + body_length // 2])
            connection.shutdown(socket.SHUT_RDWR)
            return
        if fault.action == "hang":
            _wait_for_the_client_to_go(connection)
        elif fault.action == "drip":
            for byte in whole:
                if self._stopping.wait(_DRIP_SECONDS):
                    break
                connection.sendall(bytes([byte]))
        elif fault.action == "refuse":
            self._refuse()
        _reset(connection)


def _carried_out(thunk: Callable[[], Response]) -> Response:
    try:
        return thunk()
    except Exception:  # noqa: BLE001 - printed, and answered as a server would
        traceback.print_exc(file=sys.stderr)
        return json_response(500, {"message": "the emulator itself failed"})


def _wait_for_the_client_to_go(connection: socket.socket) -> None:
    connection.settimeout(120)
    connection.recv(1)


def _reset(connection: socket.socket) -> None:
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
        connection.shutdown(socket.SHUT_RD)
        connection.close()
    except OSError:
        pass
