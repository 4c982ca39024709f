"""Whether the systems that the functions work with can be reached: for whoever decides where requests go."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from wpp.errors import WppError
from wpp.http.messages import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from wpp.runtime import Runtime

_VALID_SECONDS = 5.0
_PATIENCE = 3.0  # seconds


class Readiness:
    """Asks both systems at most every 5 seconds, however often it is asked itself: each worker has one."""

    def __init__(self, runtime: Callable[[], Runtime]) -> None:
        self._runtime = runtime
        self._lock = threading.Lock()
        self._found: Mapping[str, str] = {}
        self._asked_at = -_VALID_SECONDS

    def check(self) -> Mapping[str, str]:
        """By system: `ok`, or the code of the error."""
        try:
            runtime = self._runtime()
        except WppError as error:
            return {"functions": error.code}
        with self._lock:
            now = runtime.clock.monotonic()
            if now - self._asked_at >= _VALID_SECONDS:
                self._found, self._asked_at = _asked(runtime), now
            return self._found


def _asked(runtime: Runtime) -> Mapping[str, str]:
    invocation = runtime.begin("readiness", "readiness", _PATIENCE)
    upstream = invocation.upstream

    def platform() -> str:
        # Whatever it answers, it is there; 429 and 5xx are errors.
        return _code(lambda: upstream.send(Request("platform", "health", "GET", f"{runtime.config.wpp_base_url}/")))

    with upstream.alongside(platform) as platform_future:
        supabase = _code(lambda: invocation.rows.page(after=None, most=1))
    return {"supabase": supabase, "platform": platform_future.result()}


def _code(ask: Callable[[], object]) -> str:
    try:
        ask()
    except WppError as error:
        return error.code
    return "ok"
