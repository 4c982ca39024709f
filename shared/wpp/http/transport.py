"""One exchange with an upstream: sent once, bounded in time and size, never redirected, its exceptions mapped."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any

import requests
from urllib3.exceptions import HTTPError as Urllib3Error
from urllib3.exceptions import ReadTimeoutError
from urllib3.util import Timeout

from wpp.http.sockets import BoundedAdapter
from wpp.redaction import REDACTION

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_ANSWER_BYTES = 1024 * 1024
_POOL_SIZE = 64
USER_AGENT = "wpp-functions"  # Supabase refuses `sb_secret_` keys for values that look like a browser's.


class ExchangeFailed(Exception):  # it becomes an UpstreamError one level up
    """No usable answer came. `sent` is False only where the request certainly never reached the other side."""

    def __init__(self, problem: str, *, timed_out: bool = False, sent: bool = True) -> None:
        super().__init__(problem)
        self.timed_out = timed_out
        self.sent = sent


@dataclass(eq=False)
class Reply:
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    @cached_property
    def json(self) -> Any:
        """The decoded body, or None where it is no JSON: no answer that we use is a bare null."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


class Transport:
    """The connection pool and the threads of one process, shared by all its invocations."""

    def __init__(self) -> None:
        session = requests.Session()
        session.trust_env = False  # no proxies, no .netrc: what is called and with which key is configured, not ambient
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._adapter = BoundedAdapter(pool_maxsize=_POOL_SIZE)
        session.mount("https://", self._adapter)
        session.mount("http://", self._adapter)
        session.headers.clear()
        self._session = session
        self.threads = ThreadPoolExecutor(_POOL_SIZE, thread_name_prefix="wpp-upstream")

    def exchange(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout: float) -> Reply:
        """Sends one request; `timeout` bounds connecting and the whole of the answer, in seconds.

        Raises ExchangeFailed for everything that `requests` and urllib3 can raise.
        """
        _conceal(headers)
        try:
            with self._session.request(
                method,
                url,
                headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers},
                data=body,
                # A number would count anew for connecting and for answering. The stubs do not know that this is taken too.
                timeout=Timeout(total=timeout),  # type: ignore[arg-type]
                allow_redirects=False,
                stream=True,
            ) as response:
                content = response.raw.read(MAX_ANSWER_BYTES + 1, decode_content=True)
                if len(content) > MAX_ANSWER_BYTES:
                    raise ExchangeFailed(f"sent more than {MAX_ANSWER_BYTES} bytes")
                _require_whole(response, content)
                return Reply(response.status_code, {k.lower(): v for k, v in response.headers.items()}, content)
        except (requests.RequestException, Urllib3Error, OSError, ValueError) as error:
            raise _mapped(error) from error

    def prepare(self) -> None:
        """Reads what the first https exchange would have to wait for."""
        _ = self._adapter.tls_context

    def disconnect(self) -> None:
        """Drops the idle connections; the next exchange makes new ones."""
        self._session.close()

    def close(self) -> None:
        self.threads.shutdown(wait=True)
        self._session.close()


def _conceal(headers: Mapping[str, str]) -> None:
    """Whatever we identify ourselves with, wherever it came from, is in no log from here on."""
    REDACTION.conceal(headers.get("Authorization", "").removeprefix("Bearer "))
    REDACTION.conceal(headers.get("apikey"))


def _require_whole(response: requests.Response, content: bytes) -> None:
    # urllib3 checks the length only where a read runs into the end; our read has a limit of its own.
    announced = response.headers.get("Content-Length")
    if announced is not None and announced.isdigit() and len(content) < int(announced):
        raise ExchangeFailed("ended its answer too early")


def _mapped(error: Exception) -> ExchangeFailed:
    if isinstance(error, requests.ConnectTimeout):
        return ExchangeFailed("did not accept a connection in time", timed_out=True, sent=False)
    if isinstance(error, (requests.Timeout, ReadTimeoutError, TimeoutError)):
        return ExchangeFailed("did not answer in time", timed_out=True)
    refused = "NewConnectionError" in repr(error) or "NameResolutionError" in repr(error)
    if refused:
        return ExchangeFailed("cannot be reached", sent=False)
    return ExchangeFailed("broke the connection or the rules of HTTP")
