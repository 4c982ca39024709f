"""The upstream calls of one invocation: cut by its deadline, repeated where that is safe, and counted."""

from __future__ import annotations

import json
import random
import threading
from concurrent.futures import Future, wait
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from wpp.errors import System, UpstreamBroken, UpstreamError, UpstreamRefused, UpstreamTimeout
from wpp.http.exchange import ExchangeFailed, Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from wpp.clock import Clock, Deadline
    from wpp.http.transport import Transport

T = TypeVar("T")
CALL_TIMEOUT = 8.0
"""Seconds for one ordinary exchange: three of them fit into a gateway's 30."""
MAX_ATTEMPTS = 4
_BACKOFF_BASE, _BACKOFF_CAP = 0.1, 2.0


def retry_delay(attempt: int, retry_after: float | None, uniform: Callable[[float, float], float]) -> float:
    """Seconds to wait before repeating after the `attempt`-th failure (from 1): full jitter, or what the server asked for."""
    jittered = uniform(0, min(_BACKOFF_CAP, _BACKOFF_BASE * 2.0**attempt))
    return max(jittered, retry_after or 0.0)


class TracedCall(NamedTuple):
    system: System
    call: str
    status: int
    """The HTTP status, 0 where none came."""
    started: float
    """Seconds after the invocation began."""
    duration: float


class Trace:
    """What the upstream calls of one invocation took. A wait is a stretch of time with at least one call under way."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.calls: list[TracedCall] = []
        self.waits = 0
        self.waited = 0.0
        self._begin = self.clock.monotonic()
        self._lock = threading.Lock()
        self._under_way = 0
        self._wait_began = 0.0

    def elapsed(self) -> float:
        return self.clock.monotonic() - self._begin

    def begin(self) -> float:
        with self._lock:
            now = self.elapsed()
            if self._under_way == 0:
                self.waits += 1
                self._wait_began = now
            self._under_way += 1
            return now

    def end(self, system: System, call: str, status: int, started: float) -> None:
        with self._lock:
            now = self.elapsed()
            self._under_way -= 1
            if self._under_way == 0:
                self.waited += now - self._wait_began
            self.calls.append(TracedCall(system, call, status, started, now - started))


class Upstream:
    """How one invocation reaches Supabase and the platform."""

    def __init__(
        self,
        transport: Transport,
        deadline: Deadline,
        clock: Clock,
        request_id: str,
        *,
        trace: Trace | None = None,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.deadline = deadline
        self.clock = clock
        self.request_id = request_id
        """Sent along with every call, so that both systems' logs can be read beside ours."""
        self.trace = trace or Trace(clock)
        self._transport = transport
        self._uniform = uniform
        self._meanwhile: Callable[[], None] | None = None

    def for_tidying(self) -> Upstream:
        """The same, allowed to use the bit of time that the deadline keeps back."""
        return Upstream(
            self._transport,
            self.deadline.for_tidying(),
            self.clock,
            self.request_id,
            trace=self.trace,
            uniform=self._uniform,
        )

    @contextmanager
    def alongside(self, call: Callable[[], T]) -> Iterator[Future[T]]:
        """Runs `call` on another thread during the block, and has it finished at the block's end, whatever happens in it.

        Its result or error is had from the future, after the block.
        """
        future = self._transport.threads.submit(call)
        try:
            yield future
        finally:
            wait([future])

    @contextmanager
    def while_waiting(self, call: Callable[[], object]) -> Iterator[None]:
        """Carries `call` out on this thread, between the first request that the block sends and its answer.

        A hand-over to another thread and back takes more processor time than an exchange. For the beginning of an invocation,
        while nothing else is under way. When the block is left without an error, `call` has returned; its own error is raised
        at the block's end, and comes before the block's.
        """
        outcome: Future[None] = Future()

        def run() -> None:
            self._meanwhile = None
            try:
                call()
            except BaseException as error:  # noqa: BLE001 - raised at the block's end; here it would look like the answer's
                outcome.set_exception(error)
            else:
                outcome.set_result(None)

        self._meanwhile = run
        try:
            yield
        except BaseException:
            self._meanwhile = None
            if outcome.done():
                outcome.result()
            raise
        if not outcome.done():
            run()
        outcome.result()

    def send(
        self,
        system: System,
        call: str,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        payload: Any = None,
        timeout: float = CALL_TIMEOUT,
        repeatable: bool = False,
        patience: float | None = None,
    ) -> Reply:
        """One call: the reply of any status below 500 but 429. `payload` is sent as JSON; `timeout` in seconds.

        `patience` bounds all attempts together, in seconds: for what only helps, and must not hold up the rest.

        With `repeatable` it is sent again after lost connections, time-outs, 429 and 5xx, within the deadline: for reads, and
        for what an idempotency key protects.
        Raises UpstreamBroken, UpstreamTimeout, DeadlinePassed.
        """
        body = None if payload is None else json.dumps(payload, separators=(",", ":")).encode()
        headers = {**headers, "X-Request-Id": self.request_id}
        if body is not None:
            headers["Content-Type"] = "application/json"
        give_up = self.clock.monotonic() + (float("inf") if patience is None else patience)
        attempt = 0
        while True:
            attempt += 1
            left = give_up - self.clock.monotonic()
            try:
                return self._once(system, call, method, url, headers, body, min(timeout, left))
            except UpstreamError as error:
                if not repeatable or attempt >= MAX_ATTEMPTS:
                    raise
                self.pause_after(error, attempt, within=give_up - self.clock.monotonic())

    def pause(self, attempt: int, doing: str) -> None:
        """A jittered wait before looking again, growing with `attempt` (from 1). Raises DeadlinePassed."""
        self.deadline.sleep(retry_delay(attempt, None, self._uniform), doing)

    def pause_after(self, error: UpstreamError, attempt: int, *, within: float = float("inf")) -> None:
        """A jittered wait before repeating a failed call, at least as long as the upstream asked for. Raises the error itself
        where that would outlast the deadline or `within`, in seconds."""
        delay = retry_delay(attempt, error.retry_after, self._uniform)
        if delay >= min(self.deadline.remaining(), within):
            raise error
        self.clock.sleep(delay)

    def _once(
        self,
        system: System,
        call: str,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout: float,
    ) -> Reply:
        timeout = self.deadline.cap(timeout, f"waiting for {call}")
        status, started = 0, self.trace.begin()
        try:
            reply = self._transport.exchange(method, url, headers, body, timeout, self._meanwhile)
            status = reply.status
        except ExchangeFailed as error:
            kind = UpstreamTimeout if error.timed_out else UpstreamBroken
            raise kind(system, call, str(error)) from error
        finally:
            self.trace.end(system, call, status, started)
        if status == 429 or status >= 500:
            problem = "is too busy" if status == 429 else "failed"
            kind = UpstreamTimeout if status == 504 else UpstreamBroken
            raise kind(
                system,
                call,
                f"{problem} with status {status}",
                upstream_status=status,
                retry_after=_retry_after(reply),
            )
        return reply


def refusal(system: System, call: str, reply: Reply, reason: str = "") -> UpstreamRefused:
    """The error for a reply that says no; `reason` is our own wording, never the upstream's."""
    detail = f": {reason}" if reason else ""
    return UpstreamRefused(system, call, f"refused with status {reply.status}{detail}", upstream_status=reply.status)


def nonsense(system: System, call: str, expected: str, reply: Reply) -> UpstreamBroken:
    """The error for a reply that cannot be read; names what was expected, never what came."""
    return UpstreamBroken(
        system, call, f"answered without {expected}, status {reply.status}", upstream_status=reply.status
    )


def _retry_after(reply: Reply) -> float | None:
    # The date form is rare and depends on two clocks agreeing: our own backoff serves instead.
    value = reply.headers.get("retry-after", "")
    return float(value) if value.isdigit() and len(value) < 6 else None
