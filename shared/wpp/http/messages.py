"""The requests to Supabase and the platform, and their responses.

Separate from the transport, so that a preflight or a health check, which send nothing, do not import `requests` and urllib3.
"""

from __future__ import annotations

import json
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from wpp.http.exact_json import loads

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from wpp.errors import System

CALL_TIMEOUT = 8.0
"""Seconds for one ordinary request: three of them fit into a gateway's 30."""


class Request(NamedTuple):
    system: System
    name: str
    """Its name in logs, traces and errors: `create`, `rest.PATCH.messenger_integrations`."""
    method: str
    url: str
    headers: Mapping[str, str] = MappingProxyType({})
    payload: Any = None
    """Sent as JSON; None sends no body."""
    timeout: float = CALL_TIMEOUT
    """Seconds for one attempt."""
    repeatable: bool = False
    """Whether it may be sent again after a lost connection, a timeout, 429 or 5xx: a read, or protected by an idempotency key."""
    patience: float | None = None
    """Seconds for all attempts together: for a request that only helps, and must not hold up the rest."""
    fence: Callable[[], None] | None = None
    """Called right before each attempt, once its credential is at hand: raises if it must not be sent any more."""

    def __repr__(self) -> str:
        return f"Request({self.name}, {self.method} {self.url})"


class Response:
    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        """Names in lower case."""
        self.body = body

    @cached_property
    def json(self) -> Any:
        """The decoded body, or None if it is not JSON: no response that we use is a bare null."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    @cached_property
    def exact_json(self) -> Any:
        """The same for what is written back: see `exact_json`."""
        try:
            return loads(self.body)
        except (ValueError, RecursionError):
            return None


class TransportFailed(Exception):  # it becomes an UpstreamError one level up
    """No usable response came."""

    def __init__(self, problem: str, *, timed_out: bool = False, stale: bool = False, too_large: bool = False) -> None:
        super().__init__(problem)
        self.timed_out = timed_out
        self.too_large = too_large
        self.stale = stale
        """Whether a kept connection had ended meanwhile: a new one may work at once."""
