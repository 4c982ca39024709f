"""Sockets with one deadline for a whole request, and a limit on the size of its response.

`requests` hands its timeout to the socket, where it starts again with each `recv`: an upstream that sends one byte a second
could hold a call forever. Here `settimeout(s)` means "nothing is sent or received later than s seconds from now".
"""

from __future__ import annotations

import math
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Buffer

_MAX_HEAD = 256 * 1024  # bytes of status line and headers, which take eight times as much memory
MAX_REST = 2 * 1024 * 1024
"""Bytes of the body, with what chunks add."""
MIN_TIMEOUT = 0.001
"""Seconds; zero would mean "do not wait at all"."""


class ResponseTooLarge(OSError):
    """More was received than any response needs."""


class BoundedSocket:
    """Mixed into a socket class, before it in the list of bases."""

    _give_up = math.inf
    bytes_left = _MAX_HEAD

    def settimeout(self, value: float | None) -> None:
        self._give_up = math.inf if value is None else time.monotonic() + value
        self.bytes_left = _MAX_HEAD
        super().settimeout(value)  # type: ignore[misc]

    def recv_into(self, buffer: Buffer, *args: Any, **options: Any) -> int:
        if self._give_up < math.inf:
            remaining = self._give_up - time.monotonic()
            if remaining <= 0:
                raise TimeoutError
            super().settimeout(remaining)  # type: ignore[misc]
        received: int = super().recv_into(buffer, *args, **options)  # type: ignore[misc]
        self.bytes_left -= received
        if self.bytes_left < 0:
            raise ResponseTooLarge
        return received


class PlainSocket(BoundedSocket, socket.socket):
    pass


class TLSSocket(BoundedSocket, ssl.SSLSocket):
    """On gevent too, whose TLS waits anew, for as long as `timeout` says, for each piece of a record and of the handshake."""

    @property
    def timeout(self) -> float | None:
        """What is left. Python's own `ssl` counts down by itself, and does not ask."""
        value = self.gettimeout()
        return max(MIN_TIMEOUT, self._give_up - time.monotonic()) if value and self._give_up < math.inf else value

    @timeout.setter
    def timeout(self, value: float | None) -> None:
        self.settimeout(value)
