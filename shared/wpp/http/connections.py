"""The connections of the transport: which kept one is used again, and how a new one is made within the deadline.

A connection's `timeout` counts down, so that connecting, the TLS handshake and the response share it.
"""

from __future__ import annotations

import math
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
from urllib3.util import ssl_wrap_socket

from wpp.http.addresses import SOCKET_OPTIONS, connected_socket
from wpp.http.sockets import MAX_REST, MIN_TIMEOUT, BoundedSocket, PlainSocket, TLSSocket

if TYPE_CHECKING:
    from urllib3.response import HTTPResponse

MAX_IDLE = 50.0
"""Seconds after which a kept connection is not used again: gateways close one after a minute, firewalls forget one later."""
MAX_IDLE_BEFORE_POST = 4.0
"""The same for what must not be sent twice. Node.js closes a connection after 5 seconds, and a request that arrives in that
moment is lost."""
_POOL_SIZE = 256  # connections to one host that are kept; more may be in use


class StaleConnection(ConnectionResetError):
    """A kept connection ended before another response came."""


class _Connection(HTTPConnection):
    _give_up = math.inf
    _answered: float | None = None

    @property
    def timeout(self) -> float:
        """Seconds left. urllib3 sets it once for connecting and once for the response, and reads it in between."""
        return max(MIN_TIMEOUT, self._give_up - time.monotonic())

    @timeout.setter
    def timeout(self, value: float | None) -> None:
        self._give_up = math.inf if value is None else time.monotonic() + value

    def connect(self) -> None:
        self._answered = None
        try:
            address = (self.host, self.port)
            self.sock = connected_socket(PlainSocket, address, self.socket_options or (), lambda: self.timeout)
            self.sock.settimeout(self.timeout)  # the handshake has what is left of the whole
        except TimeoutError as error:
            raise ConnectTimeoutError from error
        except (OSError, UnicodeError) as error:
            raise NewConnectionError(self, "no connection") from error

    def request(self, method: str, *args: Any, **options: Any) -> None:
        if method == "POST" and self._idle() > MAX_IDLE_BEFORE_POST:
            self.close()  # sending opens a new one
        super().request(method, *args, **options)

    def _idle(self) -> float:
        return 0.0 if self._answered is None else time.monotonic() - self._answered

    @property
    def is_connected(self) -> bool:
        """Whether it can carry another request; if not, urllib3 opens a new connection."""
        if self.sock is None or self._answered is None or self._idle() > MAX_IDLE:
            return False
        # Bytes that a server sent after its response may be decrypted already, and then do not show on the socket.
        if isinstance(self.sock, ssl.SSLSocket) and self.sock.pending():
            return False
        try:
            self.sock.settimeout(0.0)
            socket.socket.recv(self.sock, 1, socket.MSG_PEEK)  # below TLS: nobody asked for a part of a record either
        except BlockingIOError:
            return True  # open, and nothing unexpected has arrived
        except OSError:
            pass
        return False

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as in urllib3
        bounded = self.sock
        assert isinstance(bounded, BoundedSocket)  # noqa: S101 - connect() makes no other
        try:
            response = super().getresponse()
        except ConnectionError as error:
            if self._answered is None:
                raise
            raise StaleConnection from error
        bounded.bytes_left = MAX_REST
        self._answered = time.monotonic()
        return response


class _TLSConnection(_Connection, HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        # Where that fails, the pool closes the connection: one without its handshake would speak in clear.
        self.sock = ssl_wrap_socket(self.sock, ssl_context=self.ssl_context, server_hostname=self.host)
        self.is_verified = True


class _ConnectionPool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSConnectionPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


class BoundedAdapter(HTTPAdapter):
    """The `requests` adapter that makes and keeps the connections above.

    It trusts the system's certificate authorities, SSL_CERT_FILE included, or certifi's if the system has none. Reading them
    takes 18 ms, and is done once, when the first host is called over TLS.
    """

    def __init__(self) -> None:
        self._creating_context = threading.Lock()
        self._context: ssl.SSLContext | None = None
        super().__init__(pool_maxsize=_POOL_SIZE)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, socket_options=SOCKET_OPTIONS, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _ConnectionPool, "https": _TLSConnectionPool}

    def build_connection_pool_key_attributes(self, *args: Any, **kwargs: Any) -> Any:
        host, pool = super().build_connection_pool_key_attributes(*args, **kwargs)
        if host["scheme"] == "https":
            pool["ssl_context"] = self.tls_context()
        return host, pool

    def tls_context(self) -> ssl.SSLContext:
        with self._creating_context:
            if self._context is None:
                context = ssl.create_default_context()
                if not context.cert_store_stats()["x509_ca"]:
                    context.load_verify_locations(certifi.where())
                context.sslsocket_class = TLSSocket
                self._context = context  # assigned when complete: after an error, the next call creates it again
            return self._context
