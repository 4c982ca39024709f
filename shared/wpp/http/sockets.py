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
    pass
