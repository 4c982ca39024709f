"""What a process keeps between invocations, and what one invocation works with."""

from __future__ import annotations

import logging
from concurrent.futures import wait
from typing import TYPE_CHECKING, Any

from wpp.clock import Clock, Deadline
from wpp.http.threads import submit
from wpp.http.upstream import Trace, Upstream
from wpp.platform.memory import ClientMemory
from wpp.supabase.caller import CallerCheck
from wpp.supabase.rows import Rows
from wpp.supabase.signing_keys import SigningKeys

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from wpp.config import Settings
    from wpp.http.transport import Transport

_LOG = logging.getLogger("wpp")


class InvocationLog(logging.LoggerAdapter[logging.Logger]):
    """Adds what every line of an invocation says to what a single line says."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        kwargs["extra"] = {"wpp": {**(self.extra or {}), **kwargs.pop("fields", {})}}
        return msg, kwargs


def invocation_log(function: str, request_id: str, organization_id: str | None) -> InvocationLog:
    """Log lines that say whose they are. They take `fields={…}`: more JSON fields, never a credential."""
    said_always = {"function": function, "request_id": request_id, "organization": organization_id}
    return InvocationLog(_LOG, said_always)


class Invocation:
    """One request's time, upstream calls and log lines."""

    def __init__(self, runtime: Runtime, upstream: Upstream, rows: Rows, function: str, request_id: str) -> None:
        self.runtime = runtime
        self.upstream = upstream
        self.rows = rows
        self.function = function
        self.request_id = request_id
        self.organization_id: str | None = None
        self.warnings: list[str] = []
        self.answer_headers: dict[str, str] = {}

    @property
    def settings(self) -> Settings:
        return self.runtime.settings

    @property
    def log(self) -> InvocationLog:
        return invocation_log(self.function, self.request_id, self.organization_id)

    def warn(self, text: str) -> None:
        """For what went wrong without failing the call: in the log and in the answer's `warnings`."""
        self.warnings.append(text)
        self.log.warning(text)


class Runtime:
    """One per process. Nothing in it is needed for correctness: a new process starts with an empty one."""

    def __init__(self, settings: Settings, clock: Clock | None = None, transport: Transport | None = None) -> None:
        from wpp.http.transport import Transport  # heavy, and not needed by a preflight or a health check

        self.settings = settings
        self.clock = clock or Clock()
        self.transport = transport or Transport()
        self.memory = ClientMemory()
        self.signing_keys = SigningKeys(settings.supabase_url, self.clock)
        self.caller_check = CallerCheck(settings, self.signing_keys)

    def begin(
        self, function: str, request_id: str, seconds_left: float | None = None, trace: Trace | None = None
    ) -> Invocation:
        """`seconds_left` is the time that the platform we run on gives this invocation, where it says.

        Time that passed since `trace` began counts: at a cold start that is the loading of what this needs.
        """
        seconds = self.settings.deadline_seconds
        if seconds_left is not None:
            seconds = min(seconds, seconds_left)
        trace = trace or Trace(self.clock)
        deadline = Deadline(seconds - trace.elapsed(), self.clock)
        upstream = Upstream(self.transport, deadline, self.clock, request_id, trace=trace)
        return Invocation(self, upstream, Rows(self.settings, upstream), function, request_id)

    def prepare(self) -> None:
        """Has the secrets at hand before a call needs them, all fetched at the same time. Never raises."""
        # What goes wrong stays in the futures: the call that needs the secret says so.
        wait([submit(secret.value, self.transport.start_thread) for secret in self.settings.secrets])

    def forget(self) -> None:
        """Drops what may be out of date when the process goes on after a long sleep: connections, keys, tokens, secrets."""
        self.transport.disconnect()
        self.memory.clear()
        self.signing_keys.forget()
        for secret in self.settings.secrets:
            secret.forget()

    def close(self) -> None:
        self.transport.close()
