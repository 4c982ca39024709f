"""One request to an upstream: sent once, bounded in time and size, without redirects, its exceptions mapped."""

from __future__ import annotations

import re
import ssl
from typing import TYPE_CHECKING

from requests import PreparedRequest, RequestException
from urllib3 import Timeout
from urllib3.exceptions import ConnectTimeoutError, DecodeError, HTTPError, NewConnectionError, ReadTimeoutError

from wpp.http.connections import BoundedAdapter, StaleConnection
from wpp.http.messages import Response, TransportFailed
from wpp.http.sockets import ResponseTooLarge
from wpp.http.threads import start_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from urllib3 import BaseHTTPResponse

MAX_BODY_BYTES = 1024 * 1024
"""Of a response, decoded."""
USER_AGENT = "wpp-functions"  # Supabase refuses `sb_secret_` keys for values that look like a browser's.
_LENGTH = re.compile(r"[0-9]{1,18}")


class Transport:
    """The connection pools of one process, shared by all its invocations."""

    def __init__(self) -> None:
        self._adapter = BoundedAdapter()

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout: float) -> Response:
        """Sends one request; `timeout` bounds connecting and the whole of the response, in seconds.

        Proxies, .netrc and cookies are not used. A redirect is a response like any other.
        Raises TransportFailed for everything that requests and urllib3 can raise.
        """
        try:
            request = _prepared(method, url, headers, body)
            total = Timeout(total=max(timeout, 0.001))
            with self._adapter.send(request, timeout=total) as response:  # type: ignore[arg-type]
                _require_valid_head(response.raw)
                content = _content(response.raw)
                lowered = {name.lower(): value for name, value in response.headers.items()}
                return Response(response.status_code, lowered, content)
        except (RequestException, HTTPError, OSError, ValueError) as error:
            raise _failure(error) from error

    def start_thread(self, run: Callable[[], None]) -> None:
        """Runs `run` on a new thread, or at once if no thread can be started."""
        start_thread(run)

    def close(self) -> None:
        """Drops the idle connections; the next request makes a new one."""
        self._adapter.close()


def _prepared(method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> PreparedRequest:
    """The part of `Request.prepare` that is needed. The rest of it, for cookies, credentials in the URL and hooks, takes a
    quarter of a request's processor time."""
    request = PreparedRequest()
    request.prepare_method(method)
    request.prepare_url(url, None)
    request.prepare_headers({"User-Agent": USER_AGENT, **headers})
    request.prepare_body(body, None)
    return request


def _require_valid_head(raw: BaseHTTPResponse) -> None:
    """Refuses lengths that urllib3 accepts, with which the next response on this connection could begin too early or too late."""
    lengths = {value.strip() for value in raw.headers.getlist("Content-Length")}
    if raw.status < 200 or not all(map(_LENGTH.fullmatch, lengths)):
        raise TransportFailed("broke the rules of HTTP")


def _content(raw: BaseHTTPResponse) -> bytes:
    """The body. It is not asked for compressed, but some proxies compress everything. A body that cannot be decoded counts as
    empty, because the status may be all that is needed."""
    content = bytearray()
    try:
        for piece in raw.stream(decode_content=True):
            content += piece
            if len(content) > MAX_BODY_BYTES:
                raise ResponseTooLarge
    except DecodeError:
        return b""
    return bytes(content)


def _failure(error: Exception) -> TransportFailed:
    """Named by the cause of the error, which `requests` and urllib3 wrap in several ways."""
    causes = list(_causes(error))

    def caused_by(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    if caused_by(NewConnectionError):  # a subclass of the next
        return TransportFailed("cannot be reached")
    if caused_by(ConnectTimeoutError):
        return TransportFailed("did not accept a connection in time", timed_out=True)
    if caused_by(TimeoutError, ReadTimeoutError):
        return TransportFailed("did not answer in time", timed_out=True)
    if caused_by(ResponseTooLarge):
        return TransportFailed("sent a response that is too large", too_large=True)
    if caused_by(ssl.SSLCertVerificationError):
        return TransportFailed("has a certificate that is not trusted")
    return TransportFailed("broke the connection or the rules of HTTP", stale=caused_by(StaleConnection))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error:
        yield error
        error = error.__cause__ or error.__context__
