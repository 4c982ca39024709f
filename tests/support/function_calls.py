"""Calls of a function in this process, with no runtime around it. Nothing listens where the configuration points."""

from __future__ import annotations

import json
import logging
import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from jose import jwt

from wpp.faas import function
from wpp.faas.function import Function, Result, respond
from wpp.faas.logs import JsonLines
from wpp.faas.messages import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest

    from wpp.faas.function import Call
    from wpp.faas.messages import Answer
    from wpp.runtime import Invocation

    Lines = list[dict[str, Any]]
    Run = Callable[[Invocation, Call], Result]

WPP_SECRET = "the-secret-of-the-platform"
_JWT_SECRET = "the-secret-that-signs-tokens"
_CONFIGURATION = {
    "SUPABASE_URL": "http://127.0.0.1:1",
    "SUPABASE_SERVICE_ROLE_KEY": "the-key-of-the-service-role",
    "SUPABASE_JWT_SECRET": _JWT_SECRET,
    "WPP_SECRET": WPP_SECRET,
    "WPP_BASE_URL": "http://127.0.0.1:1",
}


def start_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process as it is when it has just started, configured."""
    for name, value in _CONFIGURATION.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(function, "_PROCESS", function.Process())


def token() -> str:
    claims = {"sub": str(uuid.uuid4()), "role": "authenticated", "aud": "authenticated", "exp": time.time() + 60}
    return jwt.encode(claims, _JWT_SECRET)


def call(
    run: Run, *, method: str = "POST", body: bytes = b"", query: dict[str, str] | None = None, headers: Any = None,
    seconds_left: float | None = None, **function_fields: Any,
) -> Answer:  # fmt: skip
    """What a user gets from a function that runs `run`."""
    sent = {"authorization": f"Bearer {token()}", "x-request-id": "r-1", **(headers or {})}
    request = Request(method, sent, body, query or {}, seconds_left=seconds_left)
    return respond(Function("wpp-echo", run, **function_fields), request)


def succeed(_: Invocation, __: Call) -> Result:
    return Result({})


def failing(error: BaseException) -> Run:
    def run(_: Invocation, __: Call) -> Result:
        raise error

    return run


def body_of(answer: Answer) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(answer.body)
    return body


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: Lines = []

    def emit(self, record: logging.LogRecord) -> None:
        line = json.loads(JsonLines().format(record))
        del line["time"]
        self.lines.append(line)


@contextmanager
def logged(level: int = logging.INFO) -> Iterator[Lines]:
    """The lines of the log as they are written, without their time. `level` counts until a call sets the one of LOG_LEVEL."""
    handler, log = _Kept(), logging.getLogger("wpp")
    before = log.level
    log.setLevel(level)
    log.addHandler(handler)
    try:
        yield handler.lines
    finally:
        log.removeHandler(handler)
        log.setLevel(before)
