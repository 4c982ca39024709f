"""The adapter for functions-framework: its target gets a Flask request, and may return (body, status, headers).

Flask is not imported here: functions-framework brings it, and no other runtime needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wpp.faas.function import Function, respond
from wpp.faas.messages import MAX_BODY_BYTES, Request

if TYPE_CHECKING:
    from collections.abc import Iterator

    import flask

    Result = tuple[bytes | Iterator[bytes], int, dict[str, str]]


def serve(function: Function, request: flask.Request) -> Result:
    """The result of a function's target."""
    announced = request.content_length or 0
    # A body whose Content-Length is too large is not read at all.
    body = b" " * (MAX_BODY_BYTES + 1) if announced > MAX_BODY_BYTES else request.stream.read(MAX_BODY_BYTES + 1)
    headers = {name.lower(): value for name, value in request.headers.items()}
    answer = respond(function, Request(request.method, headers, body))
    if len(body) > MAX_BODY_BYTES:
        # Unless the answer is a stream, functions-framework then reads the rest of the body into memory, whatever its size.
        return iter([answer.body]), answer.status, dict(answer.headers)
    return answer.body, answer.status, dict(answer.headers)
