"""The adapter for functions-framework: its target gets a Flask request, and may return (body, status, headers).

Flask is not imported here: functions-framework brings it, and no other runtime needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wpp.errors import BadRequest, BodyIncomplete
from wpp.faas.function import Function, respond
from wpp.faas.messages import MAX_BODY_BYTES, Request

if TYPE_CHECKING:
    from collections.abc import Iterator

    import flask

    Result = tuple[bytes | Iterator[bytes], int, dict[str, str]]

_TOO_LARGE = b" " * (MAX_BODY_BYTES + 1)


def serve(function: Function, request: flask.Request) -> Result:
    """What the target of a function returns."""
    body = _Body(request)
    headers = {name.lower(): value for name, value in request.headers.items()}
    answer = respond(function, Request(request.method, headers, body.read, request.args.to_dict()))
    if body.may_be_unread:
        # After an answer that is not a stream, functions-framework reads what is left of the body into memory, whatever its size
        # and however long that takes. Of a stream, nobody else tells the length.
        length = {"Content-Length": str(len(answer.body))}
        return iter([answer.body]), answer.status, {**answer.headers, **length}
    return answer.body, answer.status, dict(answer.headers)


class _Body:
    """The body of a request, of which no more is read than tells that it is too large."""

    def __init__(self, request: flask.Request) -> None:
        self._request = request
        announced = request.content_length
        self.may_be_unread = announced > 0 if announced is not None else "Transfer-Encoding" in request.headers
        """Whether there may be some of it that nobody has read."""

    def read(self) -> bytes:
        """At most MAX_BODY_BYTES + 1 bytes. Raises BadRequest, BodyIncomplete."""
        announced = self._request.content_length or 0
        if announced > MAX_BODY_BYTES:
            return _TOO_LARGE
        from werkzeug.exceptions import ClientDisconnected

        try:
            body = self._request.stream.read(MAX_BODY_BYTES + 1)
        except (ClientDisconnected, OSError) as error:  # a server's time limit is a TimeoutError, and becomes either
            raise BodyIncomplete("The body did not arrive in time") from error
        except Exception as error:  # gunicorn's for malformed chunks; to name them, it would have to be imported
            if "Transfer-Encoding" not in self._request.headers:
                raise
            raise BadRequest("The chunks of the body are malformed") from error
        if len(body) < announced:
            raise BodyIncomplete("The body ended early")
        self.may_be_unread = len(body) > MAX_BODY_BYTES
        return body
