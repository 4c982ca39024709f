"""The upstream requests of one invocation: cut by its deadline, repeated where that is safe, and counted."""

from __future__ import annotations

import logging
import math
import random
from concurrent.futures import wait
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from wpp.errors import UpstreamBroken, UpstreamError, UpstreamRefused, UpstreamTimeout, UpstreamUnreadable
from wpp.http import exact_json
from wpp.http.messages import Request, Response, TransportFailed
from wpp.http.threads import T, submit
from wpp.http.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from concurrent.futures import Future

    from wpp.clock import Clock, Deadline
    from wpp.errors import System
    from wpp.http.trace import TracedRequest
    from wpp.http.transport import Transport

_LOG = logging.getLogger("wpp")
MAX_ATTEMPTS = 4
_BACKOFF_BASE, _BACKOFF_CAP = 0.1, 2.0


def retry_delay(attempt: int, retry_after: float | None, uniform: Callable[[float, float], float]) -> float:
    """Seconds to wait before repeating after the `attempt`-th failure (from 1): full jitter, or what the server asked for."""
    jittered = uniform(0, min(_BACKOFF_CAP, _BACKOFF_BASE * 2.0**attempt))
    return max(jittered, retry_after or 0.0)


class Credential(Protocol):
    """Authorizes requests; its value may be replaced while it is in use."""

    def value(self) -> str: ...

    def renewed(self, refused: str) -> bool:
        """Whether there is another value by now, after `refused` was refused."""
        ...


def is_unauthorized(response: Response) -> bool:
    return response.status in (401, 403)


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
        """Sent with every request, so that the logs of both systems can be matched with ours."""
        self.trace = trace or Trace(clock)
        self._transport = transport
        self._uniform = uniform

    def for_tidying(self, at_most: float = math.inf) -> Upstream:
        """The same, but it may also use the time that the deadline holds in reserve, and no more than `at_most` seconds."""
        deadline = self.deadline.for_tidying(at_most)
        return Upstream(self._transport, deadline, self.clock, self.request_id, trace=self.trace, uniform=self._uniform)

    @contextmanager
    def alongside(self, call: Callable[[], T], patience: Callable[[], float] | None = None) -> Iterator[Future[T]]:
        """Runs `call` on another thread during the block, and waits for it at the block's end, whatever happens in it.

        With `patience`, asked at the block's end, the wait is no longer than so many seconds: for what only helps, and goes on by
        itself. The result or the error is read from the future, after the block. If no thread can be started, `call` runs before
        the block: slower, but once.
        """
        future = submit(call, self._transport.start_thread)
        try:
            yield future
        finally:
            wait([future], None if patience is None else patience())

    def send(self, request: Request) -> Response:
        """The response to a request, of any status below 500 except 429.

        Raises UpstreamBroken, UpstreamTimeout, DeadlinePassed, and what its fence raises.
        """
        body = None if request.payload is None else exact_json.dumps(request.payload)
        headers = {**request.headers, "X-Request-Id": self.request_id}
        if self.trace.context is not None:
            headers |= self.trace.context.headers
        if body is not None:
            headers["Content-Type"] = "application/json"
        give_up = self.clock.monotonic() + (math.inf if request.patience is None else request.patience)
        attempt = 0
        while True:
            attempt += 1
            if request.fence is not None:
                request.fence()
            left = give_up - self.clock.monotonic()
            try:
                return self._send_once(request, headers, body, min(request.timeout, left))
            except UpstreamError as error:
                if not request.repeatable or attempt >= MAX_ATTEMPTS or isinstance(error, UpstreamUnreadable):
                    raise
                if not _was_stale(error):
                    self.pause_after(error, attempt, within=give_up - self.clock.monotonic())

    def send_with(
        self,
        credential: Credential,
        request_for: Callable[[str], Request],
        is_refusal: Callable[[Response], bool] = is_unauthorized,
    ) -> Response:
        """The response to a request that carries a credential. If the credential is refused and has another value by now, the
        request is sent once more with that one.

        Raises UpstreamBroken, UpstreamTimeout, DeadlinePassed, and what the credential raises.
        """
        value = credential.value()
        response = self.send(request_for(value))
        if is_refusal(response) and credential.renewed(value):
            response = self.send(request_for(credential.value()))
        return response

    def pause(self, attempt: int, doing: str) -> None:
        """A jittered wait before looking again, growing with `attempt` (from 1). Raises DeadlinePassed."""
        self.deadline.sleep(retry_delay(attempt, None, self._uniform), doing)

    def pause_after(self, error: UpstreamError, attempt: int, *, within: float = math.inf) -> None:
        """A jittered wait before repeating a failed request, at least as long as the upstream asked for.

        Raises the error itself if the wait would outlast the deadline or `within`, in seconds.
        """
        delay = retry_delay(attempt, error.retry_after, self._uniform)
        if delay >= min(self.deadline.remaining(), within):
            raise error
        self.clock.sleep(delay)

    def _send_once(self, request: Request, headers: Mapping[str, str], body: bytes | None, timeout: float) -> Response:
        timeout = self.deadline.cap(timeout, f"waiting for {request.name}")
        started, result = self.trace.begin(), "broken"
        try:
            response = self._transport.send(request.method, request.url, headers, body, timeout)
            result = str(response.status)
        except TransportFailed as error:
            kind = UpstreamTimeout if error.timed_out else UpstreamUnreadable if error.too_large else UpstreamBroken
            result = "timeout" if error.timed_out else "too_large" if error.too_large else "broken"
            raise kind(request.system, request.name, str(error)) from error
        finally:
            traced = self.trace.end(request, result, started)
            if _LOG.isEnabledFor(logging.DEBUG):
                self._log(traced)
        status = response.status
        if status == 429 or status >= 500:
            problem = "is too busy" if status == 429 else "failed"
            kind = UpstreamTimeout if status == 504 else UpstreamBroken
            raise kind(
                request.system,
                request.name,
                f"{problem} with status {status}",
                upstream_status=status,
                retry_after=_retry_after(response),
            )
        return response

    def _log(self, traced: TracedRequest) -> None:
        fields = {"request_id": self.request_id, "call": f"{traced.system}.{traced.name}", "result": traced.result}
        _LOG.debug("upstream request", extra={"wpp": {**fields, "ms": round(traced.duration * 1000, 1)}})


def refusal(system: System, name: str, response: Response, reason: str = "") -> UpstreamRefused:
    """The error for a response that refuses; `reason` is our own wording, never the upstream's."""
    detail = f": {reason}" if reason else ""
    problem = f"refused with status {response.status}{detail}"
    return UpstreamRefused(system, name, problem, upstream_status=response.status)


def malformed(system: System, name: str, expected: str, response: Response) -> UpstreamUnreadable:
    """The error for a response that cannot be read; names what was expected, never what came."""
    problem = f"answered without {expected}, status {response.status}"
    return UpstreamUnreadable(system, name, problem, upstream_status=response.status)


def _was_stale(error: UpstreamError) -> bool:
    """Whether the request met a kept connection that had ended, which tells nothing about the upstream."""
    return isinstance(error.__cause__, TransportFailed) and error.__cause__.stale


def _retry_after(response: Response) -> float | None:
    # The date form is rare and needs two clocks to agree: our own backoff is used instead.
    value = response.headers.get("retry-after", "")
    return float(value) if value.isascii() and value.isdigit() and len(value) < 6 else None
