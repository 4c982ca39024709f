"""The adapter for functions-framework: Flask's request in, what its target may return out."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import flask
import pytest
from gunicorn.http.errors import InvalidChunkSize
from werkzeug.datastructures import Headers
from werkzeug.exceptions import ClientDisconnected
from werkzeug.test import EnvironBuilder

from tests.support.function_calls import start_process, token
from wpp.errors import BodyIncomplete
from wpp.faas.function import Call, Function, Result
from wpp.faas.functions_framework import serve
from wpp.faas.messages import MAX_BODY_BYTES

CHUNKED = {"Transfer-Encoding": "chunked"}


@pytest.fixture(autouse=True)
def _process(monkeypatch: pytest.MonkeyPatch) -> None:
    start_process(monkeypatch)


class Stream(io.BytesIO):
    """A body that tells how much of it was read."""

    def __init__(self, body: bytes, ends_with: Exception | None = None) -> None:
        super().__init__(body)
        self._ends_with = ends_with

    def read(self, size: int | None = -1, /) -> bytes:
        piece = super().read(size)
        if not piece and self._ends_with:
            raise self._ends_with
        return piece


def request(
    stream: io.BytesIO | None = None, length: int | None = None, method: str = "POST", **headers: str
) -> flask.Request:
    sent = {"Authorization": f"Bearer {token()}", "X-Request-Id": "r-1"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    environ = EnvironBuilder(
        "/?wait=1&wait=2&a=", method=method, headers=Headers(sent), input_stream=stream
    ).get_environ()
    environ["wsgi.input_terminated"] = True
    environ.pop("CONTENT_LENGTH", None)
    if length is not None:
        environ["CONTENT_LENGTH"] = str(length)
    return flask.Request(environ)


def _echo(_: Any, call: Call) -> Result:
    return Result({"got": dict(call.body), "names": sorted(call.headers)}, {"X-Echo": "1"})


ECHO = Function("wpp-echo", _echo, answers_get=True)


def served(request: flask.Request) -> tuple[str, int, bool]:
    """The body, its status, and whether functions-framework is kept from reading the rest of the request."""
    body, status, headers = serve(ECHO, request)
    assert type(headers) is dict
    is_stream = isinstance(body, Iterator)
    return b"".join(body if isinstance(body, Iterator) else [body]).decode(), status, is_stream


def test_a_request_reaches_the_function_with_its_body_and_lower_case_headers() -> None:
    body, status, headers = serve(ECHO, request(io.BytesIO(b'{"b": 1}'), 8, Idempotency_Key="k"))
    names = '["authorization","content-length","host","idempotency-key","x-request-id"]'
    assert body == b'{"success":true,"got":{"b":1},"names":%s}' % names.encode()
    assert (status, headers["X-Echo"], headers["X-Request-Id"]) == (200, "1", "r-1")


def test_the_first_of_several_parameters_of_an_address_counts() -> None:
    assert '"got":{"wait":"1","a":""}' in served(request(method="GET"))[0]


@pytest.mark.parametrize(
    ("size", "length", "headers", "status", "is_stream"),
    [
        (2, 2, {}, 200, False),
        (MAX_BODY_BYTES, MAX_BODY_BYTES, {}, 200, False),
        (0, MAX_BODY_BYTES + 1, {}, 413, True),  # not read at all
        (0, 10**12, {}, 413, True),
        (2, None, CHUNKED, 200, False),
        (MAX_BODY_BYTES, None, CHUNKED, 200, False),
        (MAX_BODY_BYTES + 1, None, CHUNKED, 413, True),
        (0, None, {}, 200, False),
    ],
)
def test_no_more_of_a_body_is_read_than_tells_that_it_is_too_large(
    size: int, length: int | None, headers: dict[str, str], status: int, *, is_stream: bool
) -> None:
    stream = Stream((b"{}" if size else b"").ljust(size) + b" " * MAX_BODY_BYTES * (status == 413))
    assert served(request(stream, length, **headers))[1:] == (status, is_stream)
    assert stream.tell() <= MAX_BODY_BYTES + 1


@pytest.mark.parametrize(
    ("length", "headers", "is_stream"),
    [(0, {}, False), (1, {}, True), (MAX_BODY_BYTES + 1, {}, True), (None, CHUNKED, True), (None, {}, False)],
)
def test_after_a_refusal_nobody_waits_for_the_body(
    length: int | None, headers: dict[str, str], *, is_stream: bool
) -> None:
    stream = Stream(b"{}")
    refused = request(stream, length, Authorization="Bearer a.b.c", **headers)
    assert served(refused)[1:] == (401, is_stream)
    assert stream.tell() == 0


def test_an_answer_tells_its_length_even_if_the_body_was_not_read() -> None:
    body, status, headers = serve(ECHO, request(Stream(b"{}"), 2, Authorization="Bearer a.b.c"))
    assert isinstance(body, Iterator)
    assert (status, headers["Content-Length"]) == (401, str(len(next(body))))


@pytest.mark.parametrize("error", [ClientDisconnected(), TimeoutError(), ConnectionResetError()])
def test_a_body_that_does_not_arrive_is_incomplete(error: Exception) -> None:
    body, status, _ = served(request(Stream(b"", error), None, **CHUNKED))
    assert status == BodyIncomplete.status
    assert '"error":"The body did not arrive in time","code":"body_incomplete","retryable":true' in body


def test_a_body_that_the_server_cannot_parse_is_the_callers_fault() -> None:
    body, status, is_stream = served(request(Stream(b"", InvalidChunkSize(b"zz")), None, **CHUNKED))
    assert (status, is_stream) == (400, True)
    assert '"error":"The chunks of the body are malformed","code":"bad_request","retryable":false' in body


def test_an_unforeseen_error_without_chunks_is_not_blamed_on_them() -> None:
    body, status, _ = served(request(Stream(b"", InvalidChunkSize(b"zz")), 2))
    assert (status, "internal_error" in body) == (500, True)


@pytest.mark.parametrize(("sent", "announced", "status"), [(b"{}", 2, 200), (b"{}", 3, 408), (b"", 1, 408)])
def test_a_body_that_ends_early_is_incomplete(sent: bytes, announced: int, status: int) -> None:
    body, got, _ = served(request(io.BytesIO(sent), announced))
    assert got == status
    assert ('"error":"The body ended early","code":"body_incomplete"' in body) == (status == 408)
