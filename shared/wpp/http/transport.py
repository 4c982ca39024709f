"""One exchange with an upstream: sent once, bounded in time and size, never redirected, its exceptions mapped."""

from __future__ import annotations

import re
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, cast

import requests
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.exceptions import HTTPError as Urllib3Error

from wpp.http.exchange import ExchangeFailed, Reply
from wpp.http.sockets import BoundedAdapter
from wpp.redaction import REDACTION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from urllib3 import HTTPConnectionPool
    from urllib3.connection import HTTPConnection as PooledConnection

MAX_ANSWER_BYTES = 1024 * 1024
_POOL_SIZE = 64
_LAST_LOOK = 0.05  # seconds: an answer that is there already is read, even where nothing is left of its time
_AT_ONCE = 2  # calls that an invocation makes to one host at the same time
_CONNECT_PATIENCE = 3.0  # seconds for a connection that nobody waits for yet; an ending process waits for it
_FAILURES = (Urllib3Error, HTTPException, OSError, ValueError)
_LENGTH = re.compile(r"[0-9]{1,18}")  # any other is none to http.client either
_GZIP = 16 + zlib.MAX_WBITS
USER_AGENT = "wpp-functions"  # Supabase refuses `sb_secret_` keys for values that look like a browser's.


class Transport:
    """The connection pool and the threads of one process, shared by all its invocations.

    The connections are those of a `requests` adapter. A request goes straight to one of them, and is spoken as the standard
    library speaks it: prepared requests, hooks, cookies, redirects and a second response around the first are what we do
    without, and they take more processor time than the exchange itself.
    """

    def __init__(self) -> None:
        self._adapter = BoundedAdapter(pool_maxsize=_POOL_SIZE)
        self._pools: dict[str, HTTPConnectionPool] = {}
        self.threads = ThreadPoolExecutor(_POOL_SIZE, thread_name_prefix="wpp-upstream")

    def exchange(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout: float,
        meanwhile: Callable[[], None] | None = None,
    ) -> Reply:
        """Sends one request; `timeout` bounds connecting and the whole of the answer, in seconds.

        `meanwhile`, which must not raise, is carried out while the answer is awaited. It may not be where nothing can be sent.
        Nothing ambient is used: no proxies, no .netrc, no cookies. Redirects are answers.
        Raises ExchangeFailed for everything that urllib3 can raise.
        """
        _conceal(headers)
        origin, path = _parted(url)
        give_up = time.monotonic() + timeout
        try:
            pool = self._pool(origin)
            connection = cast("PooledConnection", pool._get_conn())
        except _FAILURES as error:  # closed in this moment
            raise _mapped(error) from error
        running = None
        if meanwhile is not None and connection.is_closed:
            # It is likely to need a new connection too: on two threads, both are made at the same time.
            running, meanwhile = self.threads.submit(meanwhile), None
        whole = False
        try:
            _send(connection, method, path, headers, body, timeout)
            if meanwhile is not None:
                meanwhile()
            reply = _received(connection, max(_LAST_LOOK, give_up - time.monotonic()))
            whole = True
            return reply
        finally:
            if not whole:
                connection.close()  # with what is left of its answer
            pool._put_conn(connection)
            if running is not None:
                running.result()

    def expect(self, url: str) -> None:
        """Begins to connect to a host that was not called before, on other threads, while there is something else to wait for.

        A connection that cannot be made is told by the exchange that needs it.
        """
        origin, _ = _parted(url)
        if origin in self._pools:
            return
        with suppress(*_FAILURES):
            pool = self._pool(origin)
            for connection in [cast("PooledConnection", pool._get_conn()) for _ in range(_AT_ONCE)]:
                self.threads.submit(_connect, pool, connection)

    def _pool(self, origin: str) -> HTTPConnectionPool:
        pool = self._pools.get(origin)
        if pool is None:
            prepared = requests.Request("GET", origin).prepare()
            made = self._adapter.get_connection_with_tls_context(prepared, verify=True)
            pool = self._pools.setdefault(origin, cast("HTTPConnectionPool", made))
        return pool

    def prepare(self) -> None:
        """Reads what the first https exchange would have to wait for."""
        _ = self._adapter.tls_context

    def disconnect(self) -> None:
        """Drops the idle connections; the next exchange makes new ones."""
        self._pools.clear()
        self._adapter.close()

    def close(self) -> None:
        self.threads.shutdown(wait=True)
        self.disconnect()


def _connect(pool: HTTPConnectionPool, connection: PooledConnection) -> None:
    try:
        connection.timeout = _CONNECT_PATIENCE
        with suppress(*_FAILURES):
            connection.connect()
    finally:
        pool._put_conn(connection)


def _parted(url: str) -> tuple[str, str]:
    """Scheme with host, and path with query."""
    scheme, _, rest = url.partition("://")
    host, _, path = rest.partition("/")
    return f"{scheme}://{host}", f"/{path}"


def _send(
    connection: PooledConnection,
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes | None,
    timeout: float,
) -> None:
    headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers}
    try:
        if connection.is_closed:
            connection.timeout = timeout
            connection.connect()
        else:
            connection.sock.settimeout(timeout)
        # Who hangs up before it has read all may have answered all the same.
        with suppress(BrokenPipeError, ConnectionResetError):
            HTTPConnection.request(connection, method, path, body, headers)
    except _FAILURES as error:
        raise _mapped(error) from error


def _received(connection: PooledConnection, timeout: float) -> Reply:
    try:
        connection.sock.settimeout(timeout)
        with HTTPConnection.getresponse(connection) as response:
            content = response.read(MAX_ANSWER_BYTES + 1)
    except _FAILURES as error:
        raise _mapped(error) from error
    headers = {name.lower(): value for name, value in response.headers.items()}
    _require_whole(headers, content)
    content = _decoded(headers, content)
    if len(content) > MAX_ANSWER_BYTES:
        raise ExchangeFailed(f"sent more than {MAX_ANSWER_BYTES} bytes")
    return Reply(response.status, headers, content)


def _conceal(headers: Mapping[str, str]) -> None:
    """Whatever we identify ourselves with, wherever it came from, is in no log from here on."""
    REDACTION.conceal(headers.get("Authorization", "").removeprefix("Bearer "))
    REDACTION.conceal(headers.get("apikey"))


def _require_whole(headers: Mapping[str, str], content: bytes) -> None:
    # http.client checks the length only where all of it is read; our read has a limit of its own.
    announced = _LENGTH.fullmatch(headers.get("content-length", ""))
    if announced and len(content) < min(int(announced[0]), MAX_ANSWER_BYTES):
        raise ExchangeFailed("ended its answer too early")


def _decoded(headers: Mapping[str, str], content: bytes) -> bytes:
    """Nobody asked for a compressed answer, but there are proxies that compress all."""
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("", "identity"):
        return content
    if encoding not in ("gzip", "x-gzip"):
        raise ExchangeFailed("encoded its answer in a way nobody asked for")
    try:
        return zlib.decompressobj(_GZIP).decompress(content, MAX_ANSWER_BYTES + 1)
    except zlib.error as error:
        raise ExchangeFailed("sent gzip that cannot be read") from error


def _mapped(error: Exception) -> ExchangeFailed:
    if isinstance(error, NewConnectionError):  # urllib3 has it as a kind of the next
        return ExchangeFailed("cannot be reached", sent=False)
    if isinstance(error, ConnectTimeoutError):
        return ExchangeFailed("did not accept a connection in time", timed_out=True, sent=False)
    if isinstance(error, TimeoutError):
        return ExchangeFailed("did not answer in time", timed_out=True)
    return ExchangeFailed("broke the connection or the rules of HTTP")
