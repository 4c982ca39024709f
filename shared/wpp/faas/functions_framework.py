"""The adapter for functions-framework: its target gets a Flask request, and may answer with (body, status, headers).

Flask is not imported here: functions-framework has it, and no other runtime needs it.
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
    """What the target of a function returns."""
    announced = request.content_length or 0
    # A body that says it is too large is not read at all.
    body = b" " * (MAX_BODY_BYTES + 1) if announced > MAX_BODY_BYTES else request.stream.read(MAX_BODY_BYTES + 1)
    headers = {name.lower(): value for name, value in request.headers.items()}
    answer = respond(function, Request(request.method, headers, body))
    if len(body) > MAX_BODY_BYTES:
        # After an answer that is no stream, functions-framework reads what is left of the body into memory, whatever its size.
        return iter([answer.body]), answer.status, dict(answer.headers)
    return answer.body, answer.status, dict(answer.headers)
