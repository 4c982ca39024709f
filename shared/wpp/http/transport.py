"""One exchange with an upstream: sent once, bounded in time and size, never redirected, its exceptions mapped."""

from __future__ import annotations

import re
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse
from io import BytesIO
from typing import TYPE_CHECKING, cast

import requests
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.exceptions import HTTPError as Urllib3Error

from wpp.http.messages import Response, TransportFailed
from wpp.http.sockets import BoundedAdapter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from urllib3 import HTTPConnectionPool
    from urllib3.connection import HTTPConnection as PooledConnection

MAX_ANSWER_BYTES = 1024 * 1024
_POOL_SIZE = 64
_LAST_LOOK = 0.05  # seconds: an answer that is there already is read, even where nothing is left of its time
_AT_ONCE = 2  # calls that an invocation makes to one host at the same time
_CONNECT_PATIENCE = 3.0  # seconds for a connection that nobody waits for yet
_FAILURES = (Urllib3Error, HTTPException, OSError, ValueError)
_LENGTH = re.compile(r"[0-9]{1,18}")
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

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout: float) -> Response:
        """Sends one request; `timeout` bounds connecting and the whole of the answer, in seconds.

        Nothing ambient is used: no proxies, no .netrc, no cookies. Redirects are answers.
        Raises TransportFailed for everything that urllib3 and http.client can raise.
        """
        origin, path = _parted(url)
        give_up = time.monotonic() + timeout
        try:
            pool = self._pool(origin)
            connection = cast("PooledConnection", pool._get_conn())
        except _FAILURES as error:  # closed in this moment
            raise _mapped(error) from error
        whole = False
        try:
            _send(connection, method, path, headers, body, give_up)
            response = _received(connection, max(_LAST_LOOK, give_up - time.monotonic()))
            whole = True
            return response
        finally:
            if not whole:
                connection.close()  # with what is left of its answer
            pool._put_conn(connection)

    def expect(self, url: str) -> None:
        """Begins to connect to a host that was not called before, on other threads, while there is something else to wait for.

        Never raises: a connection that cannot be made is made anew by the exchange that needs it, which says what is wrong.
        """
        origin, _ = _parted(url)
        if origin not in self._pools:
            _in_background(self._connect, origin)

    def _connect(self, origin: str) -> None:
        with suppress(*_FAILURES):
            pool = self._pool(origin)
            for connection in [cast("PooledConnection", pool._get_conn()) for _ in range(_AT_ONCE)]:
                _in_background(_connect, pool, connection)

    def _pool(self, origin: str) -> HTTPConnectionPool:
        pool = self._pools.get(origin)
        if pool is None:
            prepared = requests.Request("GET", origin).prepare()
            made = self._adapter.get_connection_with_tls_context(prepared, verify=True)
            pool = self._pools.setdefault(origin, cast("HTTPConnectionPool", made))
        return pool

    def start_thread(self, run: Callable[[], None]) -> None:
        """Runs `run` on a thread of its own, or at once where no thread can be started."""
        try:
            threading.Thread(target=run, daemon=True).start()
        except RuntimeError:
            run()

    def disconnect(self) -> None:
        """Drops the idle connections; the next exchange makes new ones."""
        self._pools.clear()
        self._adapter.close()

    def close(self) -> None:
        self.threads.shutdown(wait=True)
        self.disconnect()


def _in_background(call: Callable[..., None], *arguments: object) -> None:
    """On a thread that an ending process does not wait for, as it would for the executor's."""
    with suppress(RuntimeError):  # no thread to be had
        threading.Thread(target=call, args=arguments, daemon=True).start()


def _connect(pool: HTTPConnectionPool, connection: PooledConnection) -> None:
    try:
        connection.timeout = _CONNECT_PATIENCE
        if connection.is_closed:  # no exchange has made it meanwhile
            connection.connect()
    except _FAILURES:
        connection.close()  # one without its handshake would speak in clear
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
    give_up: float,
) -> None:
    headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers}
    try:
        if connection.is_closed:
            connection.timeout = _left_until(give_up)
            connection.connect()
        connection.sock.settimeout(_left_until(give_up))
        # Who hangs up before it has read all may have answered all the same.
        with suppress(BrokenPipeError, ConnectionResetError):
            HTTPConnection.request(connection, method, path, body, headers)
    except _FAILURES as error:
        raise _mapped(error) from error


def _left_until(give_up: float) -> float:
    return max(0.001, give_up - time.monotonic())  # zero would mean "do not wait at all"


def _received(connection: PooledConnection, timeout: float) -> Response:
    try:
        connection.sock.settimeout(timeout)
        with HTTPConnection.getresponse(connection) as response:
            _require_sense(response)
            content = response.read(MAX_ANSWER_BYTES + 1)
            missing = response.length
    except _FAILURES as error:
        raise _mapped(error) from error
    # Of several with one name, the first: http.client goes by that one too.
    headers = {name.lower(): value for name, value in reversed(response.headers.items())}
    if headers.get("content-encoding", "").strip().lower() in ("gzip", "x-gzip"):
        content = _unzipped(content)
    if len(content) > MAX_ANSWER_BYTES:
        raise TransportFailed(f"sent more than {MAX_ANSWER_BYTES} bytes")
    if missing:  # http.client says so itself only where all is read at once
        raise TransportFailed("ended its answer too early")
    return Response(response.status, headers, content)


def _require_sense(response: HTTPResponse) -> None:
    """What http.client lets pass, and where the next answer on this connection could begin too early or too late."""
    lengths = {value.strip() for value in response.headers.get_all("Content-Length", ())}
    odd = [length for length in lengths if not _LENGTH.fullmatch(length)]
    if odd or len(lengths) > 1 or response.status < 200:
        raise TransportFailed("broke the rules of HTTP")


def _unzipped(content: bytes) -> bytes:
    """Nobody asked for a compressed answer, but there are proxies that compress all. What cannot be read stays as it is, and is
    no JSON: the status may say enough."""
    import gzip  # rare

    try:
        return gzip.GzipFile(fileobj=BytesIO(content)).read(MAX_ANSWER_BYTES + 1)
    except (OSError, EOFError, zlib.error):
        return content


def _mapped(error: Exception) -> TransportFailed:
    if isinstance(error, NewConnectionError):  # urllib3 has it as a kind of the next
        return TransportFailed("cannot be reached")
    if isinstance(error, ConnectTimeoutError):
        return TransportFailed("did not accept a connection in time", timed_out=True)
    if isinstance(error, TimeoutError):
        return TransportFailed("did not answer in time", timed_out=True)
    return TransportFailed("broke the connection or the rules of HTTP")
