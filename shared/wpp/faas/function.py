"""A function without its runtime: from the neutral request to the neutral answer, failures included."""

from __future__ import annotations

import logging
import math
import re
import secrets
import threading
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from wpp.clock import Clock
from wpp.config import config_from, cors_allow_origin
from wpp.errors import InvalidToken, MethodNotAllowed, WppError
from wpp.faas import logs
from wpp.faas.cors import cors_headers, preflight_headers
from wpp.faas.messages import Answer, Request, json_answer
from wpp.faas.reports import CallReport, Observer, Observers
from wpp.http.trace import Trace, trace_context_from
from wpp.runtime import Invocation, Runtime, invocation_log
from wpp.supabase.caller import bearer_token
from wpp.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from wpp.runtime import InvocationLog

_LONGEST_RETRY_AFTER = 300  # seconds: the longest that an upstream may make our callers wait
_MOST_TIMINGS = 20  # browsers show them
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:=-]{1,128}")


class Call(NamedTuple):
    """One call of a function: who calls, and with which options."""

    access_token: str
    body: Mapping[str, Any]
    headers: Mapping[str, str]

    def __repr__(self) -> str:
        return "Call(***)"


class Result(NamedTuple):
    """The answer of a function that succeeded."""

    fields: Mapping[str, Any]
    """Next to `success` and `warnings`."""
    headers: Mapping[str, str] = MappingProxyType({})


class Function(NamedTuple):
    name: str
    """As in its address: `wpp-create`."""
    run: Callable[[Invocation, Call], Result]
    error_fields: Mapping[str, Any] = MappingProxyType({})
    """Added to every error."""
    answers_get: bool = False
    """Whether a `GET` with a query is a call. Without one it is the check of which version is deployed."""
    error_texts: Mapping[type[WppError], tuple[int, str]] = MappingProxyType({})
    """Status and text where they differ from the error's own."""
    operator_text: str = "WhatsApp is unavailable right now. Please contact your administrator: the log has the reason."
    """What the caller reads in the place of a text that is for the operator."""


class Process:
    """Holds the runtime, which the first call that needs it creates. After a failure the next call tries again."""

    def __init__(self) -> None:
        self.observers = Observers()
        self._lock = threading.Lock()
        self._runtime: Runtime | None = None

    def runtime(self) -> Runtime:
        with self._lock:
            if self._runtime is None:
                config = config_from()
                logs.set_up(config.known_secrets)
                self._runtime = Runtime(config)
                self._runtime.caller_check.prepare()
            return self._runtime

    def prepare(self) -> None:
        """Never raises WppError: the call that meets the error reports it."""
        with suppress(WppError):
            self.runtime().prepare()

    def refresh(self) -> None:
        if self._runtime:
            self._runtime.forget()
            self._runtime.prepare()


_PROCESS = Process()


def prepare() -> None:
    """Does in advance what a first call would wait for."""
    logs.set_up()
    _PROCESS.prepare()


def refresh() -> None:
    """To be called after a restore from a snapshot: replaces what is out of date by then."""
    _PROCESS.refresh()


def current_runtime() -> Runtime:
    """Raises NotConfigured."""
    return _PROCESS.runtime()


def report_to(observer: Observer) -> None:
    """Tells it of every call from now on."""
    _PROCESS.observers.add(observer)


def respond(function: Function, request: Request) -> Answer:
    """Never raises: whatever goes wrong becomes an answer in the functions' own shape, with CORS headers."""
    origin = cors_allow_origin()
    if request.method == "OPTIONS":
        return Answer(204, preflight_headers(origin))
    if request.method in ("GET", "HEAD") and not _is_call(function, request):
        health = {"success": True, "function": function.name, "version": VERSION}
        return json_answer(200, health, cors_headers(origin))
    logs.set_up()
    return _RequestHandler(function, request, cors_headers(origin)).answer()


def _is_call(function: Function, request: Request) -> bool:
    return request.method == "POST" or (request.method == "GET" and function.answers_get and bool(request.query))


class _RequestHandler:
    def __init__(self, function: Function, request: Request, headers: Mapping[str, str]) -> None:
        self._function = function
        self._request = request
        self._headers = headers
        self._request_id = _request_id(request)
        self._trace = Trace(Clock(), trace_context_from(request.headers))
        self._log: InvocationLog = invocation_log(function.name, self._request_id, None)

    def answer(self) -> Answer:
        _PROCESS.observers.began(self._function.name)
        try:
            return self._answer()
        except BaseException:  # the server ends a call that takes too long with a SystemExit
            self._report(500, "ended", "the call was ended", shows_qr=False)
            raise

    def _answer(self) -> Answer:
        code: str | None = None
        reason: str | None = None
        try:
            status, (body, extra) = 200, self._run()
        except WppError as error:
            code = error.code
            status, body, extra = self._failure(error)
            reason = error.reason if isinstance(error, InvalidToken) else str(error)
        except Exception:  # noqa: BLE001 - the last boundary: the runtimes would answer with HTML and without CORS headers
            code, status, extra = "internal_error", 500, {}
            body = self._error_body("Internal error", code, retryable=False)
            self._log.exception("an unforeseen error")
        self._report(status, code, reason, shows_qr=bool(body.get("qrcode")))
        headers = {**self._headers, **extra}
        headers |= {"X-Request-Id": self._request_id, "Server-Timing": self._server_timing()}
        if self._trace.context is not None:
            headers["X-Trace-Id"] = self._trace.context.trace_id
        return json_answer(status, body, headers)

    def _run(self) -> tuple[dict[str, Any], Mapping[str, str]]:
        if not _is_call(self._function, self._request):
            raise MethodNotAllowed("Only POST, GET and OPTIONS are served here")
        runtime = _PROCESS.runtime()
        access_token = bearer_token(self._request.headers.get("authorization"))
        seconds_left = self._request.seconds_left
        invocation = runtime.begin(self._function.name, self._request_id, seconds_left, self._trace)
        # Before the body is read: without a token that we can verify, nobody has us wait for one.
        invocation.user_id = runtime.caller_check.user_id(access_token, invocation.upstream)
        body = self._request.json_object() if self._request.method == "POST" else self._request.query
        call = Call(access_token, body, self._request.headers)
        try:
            result = self._function.run(invocation, call)
        finally:
            self._log = invocation.log
        warnings = {"warnings": invocation.warnings} if invocation.warnings else {}
        return {"success": True, **result.fields, **warnings}, result.headers

    def _failure(self, error: WppError) -> tuple[int, dict[str, Any], dict[str, str]]:
        text = self._function.operator_text if error.for_operator else str(error)
        status, text = self._function.error_texts.get(type(error), (error.status, text))
        extra: dict[str, str] = {}
        if isinstance(error, MethodNotAllowed):
            extra["Allow"] = "POST, GET, OPTIONS"
        retry_after = getattr(error, "retry_after", None)
        if retry_after is not None:
            extra["Retry-After"] = str(math.ceil(min(retry_after, _LONGEST_RETRY_AFTER)))
        return status, self._error_body(text, error.code, retryable=error.retryable), extra

    def _error_body(self, text: str, code: str, *, retryable: bool) -> dict[str, Any]:
        shown = {"success": False, "error": text, "code": code, "retryable": retryable}
        return {**shown, "request_id": self._request_id, **self._function.error_fields}

    def _report(self, status: int, code: str | None, reason: str | None, *, shows_qr: bool) -> None:
        self._log_outcome(status, code, reason)
        trace = self._trace
        _PROCESS.observers.answered(CallReport(self._function.name, status, code, trace.elapsed(), trace, shows_qr))

    def _log_outcome(self, status: int, code: str | None, reason: str | None) -> None:
        trace, context = self._trace, self._trace.context
        self._log.log(
            logging.ERROR if status >= 500 else logging.WARNING if status >= 400 else logging.INFO,
            "answered",
            fields={
                "status": status,
                "code": code,
                "reason": reason,
                "duration_ms": _ms(trace.elapsed()),
                "upstream_calls": len(trace.requests),
                "round_trips": trace.round_trips,
                "upstream_ms": _ms(trace.waited),
                "upstream": ", ".join(f"{r.system}.{r.name} {r.result} {_ms(r.duration)}" for r in trace.requests),
                "trace_id": context and context.trace_id,
                "span_id": context and context.span_id,
            },
        )

    def _server_timing(self) -> str:
        trace = self._trace
        summary = f'upstream;dur={trace.waited * 1000:.1f};desc="{len(trace.requests)} calls, {trace.round_trips} round trips"'
        calls = [f"{r.system}.{r.name};dur={r.duration * 1000:.1f}" for r in trace.requests[:_MOST_TIMINGS]]
        return ", ".join([f"total;dur={trace.elapsed() * 1000:.1f}", summary, *calls])


def _request_id(request: Request) -> str:
    """The runtime's own id, else a well-formed one that the caller sent, else a new one."""
    for candidate in (request.request_id, request.headers.get("x-request-id")):
        if candidate and _REQUEST_ID.fullmatch(candidate):
            return candidate
    return secrets.token_hex(16)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
