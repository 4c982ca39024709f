"""What one invocation did upstream, and the trace of a larger system that it is a part of."""

from __future__ import annotations

import re
import secrets
import threading
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wpp.clock import Clock
    from wpp.errors import System
    from wpp.http.messages import Request

# Later versions may add fields, after a hyphen; "ff" is invalid.
_TRACEPARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(-.*)?")
_TRACESTATE = re.compile(r"[\x20-\x7e]{1,512}")
_KNOWN_FLAGS = 0b11  # sampled, and whether the trace id is random


class TraceContext(NamedTuple):
    """Of the caller's trace, in which this invocation is one span: www.w3.org/TR/trace-context-2"""

    trace_id: str
    span_id: str
    """Of this invocation, the parent of its upstream requests."""
    flags: int
    state: str | None

    @property
    def headers(self) -> dict[str, str]:
        """For upstream requests."""
        parent = {"traceparent": f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"}
        return parent if self.state is None else {**parent, "tracestate": self.state}


def trace_context_from(headers: Mapping[str, str]) -> TraceContext | None:
    """None without a valid `traceparent`; then `tracestate` does not count either. The names of `headers` are in lower case."""
    match = _TRACEPARENT.fullmatch(headers.get("traceparent", "").strip())
    if match is None or (match[1] == "00" and match[4]):
        return None
    state = headers.get("tracestate", "").strip()
    flags = int(match[3], 16) & _KNOWN_FLAGS
    return TraceContext(match[2], secrets.token_hex(8), flags, state if _TRACESTATE.fullmatch(state) else None)


class TracedRequest(NamedTuple):
    system: System
    name: str
    result: str
    """The HTTP status, or `timeout`, `broken` or `too_large` where there was none."""
    duration: float
    """Seconds."""


class Trace:
    """The upstream requests of one invocation, how long they took, and what else is counted.

    A round trip is a stretch of time with at least one request under way: requests that overlap share one.
    """

    def __init__(self, clock: Clock, context: TraceContext | None = None) -> None:
        self.clock = clock
        self.context = context
        self.requests: list[TracedRequest] = []
        self.events: Counter[str] = Counter()
        """What happened, for example `restart`: how often."""
        self.session_state: str | None = None
        """The last one seen, in our words."""
        self.round_trips = 0
        self.waited = 0.0
        """Seconds with at least one request under way."""
        self._begin = self.clock.monotonic()
        self._lock = threading.Lock()
        self._under_way = 0
        self._round_trip_began = 0.0

    def elapsed(self) -> float:
        return self.clock.monotonic() - self._begin

    def begin(self) -> float:
        with self._lock:
            now = self.elapsed()
            if self._under_way == 0:
                self.round_trips += 1
                self._round_trip_began = now
            self._under_way += 1
            return now

    def end(self, request: Request, result: str, started: float) -> TracedRequest:
        with self._lock:
            now = self.elapsed()
            self._under_way -= 1
            if self._under_way == 0:
                self.waited += now - self._round_trip_began
            traced = TracedRequest(request.system, request.name, result, now - started)
            self.requests.append(traced)
            return traced
