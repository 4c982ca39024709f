"""What a process keeps between invocations, and what one invocation works with."""

from __future__ import annotations

import logging
from concurrent.futures import wait
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from wpp.cache import Present, Recent, Shared
from wpp.clock import Clock, Deadline, Ticker
from wpp.http.threads import T, submit
from wpp.http.trace import Trace
from wpp.http.upstream import Upstream
from wpp.supabase.caller import CallerCheck
from wpp.supabase.rows import Rows
from wpp.supabase.signing_keys import SigningKeys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, MutableMapping
    from concurrent.futures import Future

    from wpp.clock import Tick
    from wpp.config import Config
    from wpp.http.transport import Transport
    from wpp.platform.state import SessionState
    from wpp.platform.token import AccessToken
    from wpp.supabase.rows import Integration

_LOG = logging.getLogger("wpp")
_PATIENCE = 0.5  # seconds for which an answer waits for what only helps
_CLAIMS = 20_000  # each of many organizations may have one that is waited for


class InvocationLog(logging.LoggerAdapter[logging.Logger]):
    """Adds the fields of an invocation to those of a single line."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        kwargs["extra"] = {"wpp": {**(self.extra or {}), **kwargs.pop("fields", {})}}
        return msg, kwargs


def invocation_log(function: str, request_id: str, organization_id: str | None) -> InvocationLog:
    """Log lines that tell whose they are. They take `fields={…}`: more JSON fields, never a credential."""
    fields = {"function": function, "request_id": request_id, "organization": organization_id}
    return InvocationLog(_LOG, fields)


class Memory:
    """What a process remembers. Nothing in it is needed for correctness: a new process starts with an empty one."""

    def __init__(self) -> None:
        self.tokens: Recent[AccessToken] = Recent()
        """By API key."""
        self.connected: Recent[bool] = Recent()
        """By API key, for sessions last seen connected: their QR is not worth asking for in advance."""
        self.claims_seen: Recent[tuple[str, int | None, float]] = Recent(_CLAIMS)
        """By row: id and beat of the claim last seen there, and since when it has been seen unchanged, by our monotonic clock."""
        self.looks: Recent[Shared[SessionState]] = Recent(_CLAIMS)
        """By API key: the last look at a session whose QR is waited for."""
        self.looked_for = Present()
        """What is looked for again and again: a QR by API key, as all who wait for one share the looks; a creation by those who
        wait for it."""
        self.unscanned: Recent[tuple[str, int]] = Recent()
        """By API key: a digest of the last QR seen, and how many there were since a phone was linked."""
        self.rows_saved: Recent[tuple[Integration, float]] = Recent()
        """By id: rows as this process last saved them, and when it began to, by our monotonic clock."""
        self.postponed: Recent[tuple[float, float]] = Recent()
        """What failed and only helps: until when it is not tried again, by our monotonic clock, and the pause that led there."""
        self.abandoned_claims: Recent[float] = Recent(_CLAIMS)
        """When the work under claims of this process ended, whether or not they were released, by id and our monotonic clock."""

    def clear(self) -> None:
        """After a restore from a snapshot. Claims that were abandoned stay abandoned."""
        self.tokens.clear()
        self.connected.clear()
        self.claims_seen.clear()
        self.rows_saved.clear()


class Invocation:
    """One request's time, upstream requests and log lines."""

    def __init__(self, runtime: Runtime, upstream: Upstream, function: str, request_id: str) -> None:
        self.runtime = runtime
        self.config = runtime.config
        self.memory = runtime.memory
        self.upstream = upstream
        self.rows = Rows(runtime.config, upstream)
        self.function = function
        self.request_id = request_id
        self.user_id: str | None = None
        """Of the caller, once their token was checked here."""
        self.organization_id: str | None = None
        self.warnings: list[str] = []
        self._patience = _PATIENCE

    @property
    def log(self) -> InvocationLog:
        return invocation_log(self.function, self.request_id, self.organization_id)

    @contextmanager
    def alongside_briefly(self, call: Callable[[], T]) -> Iterator[Future[T]]:
        """`Upstream.alongside` for what only helps: all of it together delays the answer by half a second at most."""
        with self.upstream.alongside(call, lambda: self._patience) as future:
            yield future
            ended = self.upstream.clock.monotonic()
        self._patience = max(0.0, self._patience - (self.upstream.clock.monotonic() - ended))

    def count(self, event: str) -> None:
        """For the metrics."""
        self.upstream.trace.events[event] += 1

    def warn(self, text: str) -> None:
        """For what went wrong without failing the call: in the log and in the answer's `warnings`, once."""
        if text not in self.warnings:
            self.warnings.append(text)
            self.log.warning(text)


class Runtime:
    """One per process."""

    def __init__(
        self,
        config: Config,
        clock: Clock | None = None,
        transport: Transport | None = None,
        start_ticker: Callable[[float, Tick], Ticker] = Ticker,
    ) -> None:
        from wpp.http.transport import Transport  # heavy, and not needed by a preflight or a health check

        self.config = config
        self.clock = clock or Clock()
        self.transport = transport or Transport()
        self.start_ticker = start_ticker
        self.memory = Memory()
        # Without a shared secret, a JWKS that is not there is a fault on the way to it, and no reason to sign all users out.
        has_secret = config.supabase_jwt_secret is not None
        self.signing_keys = SigningKeys(config.supabase_url, self.clock, may_be_missing=has_secret)
        self.caller_check = CallerCheck(config, self.signing_keys)

    def begin(
        self, function: str, request_id: str, seconds_left: float | None = None, trace: Trace | None = None
    ) -> Invocation:
        """`seconds_left` is the time that the platform we run on gives this invocation, if it says.

        Time that passed since `trace` began counts: at a cold start that is the loading of what this needs.
        """
        seconds = self.config.deadline_seconds
        if seconds_left is not None:
            seconds = min(seconds, seconds_left)
        trace = trace or Trace(self.clock)
        deadline = Deadline(seconds - trace.elapsed(), self.clock)
        upstream = Upstream(self.transport, deadline, self.clock, request_id, trace=trace)
        return Invocation(self, upstream, function, request_id)

    def prepare(self) -> None:
        """Has the secrets at hand before a call needs them, all fetched at the same time. Never raises."""
        # What goes wrong stays in the futures: the call that needs the secret says so.
        wait([submit(secret.value, self.transport.start_thread) for secret in self.config.secrets])

    def forget(self) -> None:
        """Drops what may be out of date when the process goes on after a long sleep: connections, keys, tokens, secrets."""
        self.transport.close()
        self.memory.clear()
        self.signing_keys.forget()
        for secret in self.config.secrets:
            secret.forget()

    def close(self) -> None:
        self.transport.close()
