"""Sockets whose timeout is the total for all that follows, not a new allowance for every byte that trickles in.

`requests` hands its read timeout to the socket, which starts it anew with each `recv`: an upstream that sends one byte a
second holds a call for ever. Here `settimeout(s)` means "nothing may be received later than s seconds from now, and no more than
an answer can be": http.client takes a chunk of -1 bytes for one without an end.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any

import certifi
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.util.wait import wait_for_read

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer


MAX_RECEIVED_BYTES = 4 * 1024 * 1024
"""Of one answer, with its headers and what chunks add."""


class _Total:
    """Mixed into a socket class, in front of it."""

    _until: float | None = None
    _left = MAX_RECEIVED_BYTES

    def settimeout(self, value: float | None) -> None:
        self._until = None if value is None else time.monotonic() + value
        self._left = MAX_RECEIVED_BYTES
        super().settimeout(value)  # type: ignore[misc]

    def _shrink(self) -> None:
        if self._until is not None:
            remaining = self._until - time.monotonic()
            if remaining <= 0:
                raise TimeoutError("timed out")
            super().settimeout(remaining)  # type: ignore[misc]

    def recv_into(self, buffer: Buffer, nbytes: int | None = None, flags: int = 0) -> int:
        self._shrink()
        received: int = super().recv_into(buffer, nbytes or 0, flags)  # type: ignore[misc]
        self._left -= received
        if self._left < 0:
            raise OSError("more was sent than any answer needs")
        return received


class _TotalSocket(_Total, socket.socket):
    pass


class _TotalTLSSocket(_Total, ssl.SSLSocket):
    pass


def _connected(connection: HTTPConnection, connect: Callable[[], socket.socket]) -> socket.socket:
    """`connect` to each address of the host in turn, all within one timeout; by itself each would get the whole of it."""
    name, timeout = connection._dns_host, connection.timeout
    if not isinstance(timeout, (int, float)):
        return connect()
    give_up = time.monotonic() + timeout
    try:
        found = socket.getaddrinfo(name, connection.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return connect()  # which says so in urllib3's own words
    addresses = list(dict.fromkeys(str(address[4][0]) for address in found))
    try:
        for number, address in enumerate(addresses, 1):
            connection._dns_host = address
            # Zero would mean "do not wait at all".
            connection.timeout = max(0.001, give_up - time.monotonic())
            try:
                return connect()
            except (ConnectTimeoutError, NewConnectionError):
                if number == len(addresses) or time.monotonic() >= give_up:
                    raise
        raise AssertionError("a name has at least one address")
    finally:
        connection._dns_host, connection.timeout = name, timeout


class _Connection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _TotalSocket(fileno=_connected(self, super()._new_conn).detach())


class _TLSConnection(HTTPSConnection):
    # The TLS socket takes over the descriptor of the plain one, so only its own class matters.
    def _new_conn(self) -> socket.socket:
        began = time.monotonic()
        connected = _connected(self, super()._new_conn)
        if isinstance(self.timeout, (int, float)):
            # The handshake has what is left, not as much again; zero would mean "do not wait at all".
            connected.settimeout(max(0.001, self.timeout - (time.monotonic() - began)))
        return connected

    @property
    def is_connected(self) -> bool:
        """Whether it can be used for another exchange.

        urllib3 takes anything that there is to read for the connection's end. With TLS 1.3 it can be session tickets, sent after
        each handshake. And what a server sent beyond its answer may have been decrypted already: that nobody sees on the socket.
        """
        if not isinstance(self.sock, ssl.SSLSocket):
            return False
        if not self.sock.pending() and not wait_for_read(self.sock, timeout=0.0):
            return True
        self.sock.settimeout(0.0)
        try:
            self.sock.recv(1)
        except ssl.SSLWantReadError:
            return True
        except OSError:
            return False
        return False  # it has ended, or sent what belongs to no answer


class _ConnectionPool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSConnectionPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


class BoundedAdapter(HTTPAdapter):
    """The `requests` adapter whose connections use these sockets.

    Trusted are the authorities of the system, SSL_CERT_FILE among them; those of certifi where the system has none. Reading
    them takes 15 ms: it is done once, where `requests` does it for each new connection.
    """

    def __init__(self, pool_maxsize: int) -> None:
        self._making_context = threading.Lock()
        self._context: ssl.SSLContext | None = None
        super().__init__(pool_maxsize=pool_maxsize)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _ConnectionPool, "https": _TLSConnectionPool}

    def tls_context(self) -> ssl.SSLContext:
        with self._making_context:
            if self._context is None:
                context = ssl.create_default_context()
                if not context.cert_store_stats()["x509_ca"]:
                    context.load_verify_locations(certifi.where())
                context.sslsocket_class = _TotalTLSSocket
                self._context = context  # whole, or made anew by the next that needs it
            return self._context

    def build_connection_pool_key_attributes(self, *args: Any, **kwargs: Any) -> Any:
        host, pool = super().build_connection_pool_key_attributes(*args, **kwargs)
        if host["scheme"] == "https":
            pool["ssl_context"] = self.tls_context()
        return host, pool

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Nothing more to prepare: the context verifies chain and host name of whoever answers."""
