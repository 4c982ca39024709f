"""Sockets whose timeout is the total for all that follows, not a new allowance for every byte that trickles in.

`requests` hands its read timeout to the socket, which starts it anew with each `recv`: an upstream that sends one byte a
second holds a call for ever. Here `settimeout(s)` means "nothing may be received later than s seconds from now".
"""

from __future__ import annotations

import socket
import ssl
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

import certifi
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer


class _Total:
    """Mixed into a socket class, in front of it."""

    _until: float | None = None

    def settimeout(self, value: float | None) -> None:
        self._until = None if value is None else time.monotonic() + value
        super().settimeout(value)  # type: ignore[misc]

    def _shrink(self) -> None:
        if self._until is not None:
            remaining = self._until - time.monotonic()
            if remaining <= 0:
                raise TimeoutError("timed out")
            super().settimeout(remaining)  # type: ignore[misc]

    def recv_into(self, buffer: Buffer, nbytes: int | None = None, flags: int = 0) -> int:
        self._shrink()
        return super().recv_into(buffer, nbytes or 0, flags)  # type: ignore[misc,no-any-return]


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


class _ConnectionPool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSConnectionPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


class BoundedAdapter(HTTPAdapter):
    """The `requests` adapter whose connections use these sockets.

    Trusted are the authorities of the system, SSL_CERT_FILE among them; those of certifi where the system has none. Reading
    them takes 15 ms: it is done once, where `requests` does it for each new connection.
    """

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _ConnectionPool, "https": _TLSConnectionPool}

    @cached_property
    def tls_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if not context.cert_store_stats()["x509_ca"]:
            context.load_verify_locations(certifi.where())
        context.sslsocket_class = _TotalTLSSocket
        return context

    def build_connection_pool_key_attributes(self, *args: Any, **kwargs: Any) -> Any:
        host, pool = super().build_connection_pool_key_attributes(*args, **kwargs)
        if host["scheme"] == "https":
            pool["ssl_context"] = self.tls_context
        return host, pool

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Nothing more to prepare: the context verifies chain and host name of whoever answers."""
