"""The neutral request and answer. Flask's and Lambda's own objects stop at their adapters."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from wpp.errors import BadRequest, BodyTooLarge

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_BODY_BYTES = 64 * 1024
_WHITE_SPACE = " \t\r\n"  # JSON's; Python strips more, so that b"\x1e" would count as an empty body


class Request(NamedTuple):
    method: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes | Callable[[], bytes] = b""
    """At most MAX_BODY_BYTES + 1 of it: adapters need not read more to tell that it is too large. A callable reads it, which
    may raise BodyIncomplete: that is put off until the caller's token was checked."""
    query: Mapping[str, str] = MappingProxyType({})
    """The parameters of the address."""
    request_id: str | None = None
    """The runtime's own id of this invocation, if it has one."""
    seconds_left: float | None = None
    """Until the runtime ends this invocation, if it tells."""

    def __repr__(self) -> str:
        return f"Request({self.method}, ***)"

    def json_object(self) -> dict[str, Any]:
        """The decoded body, `{}` for an empty one. Raises BadRequest, BodyTooLarge, BodyIncomplete."""
        body = self.body() if callable(self.body) else self.body
        if len(body) > MAX_BODY_BYTES:
            raise BodyTooLarge(f"The body is larger than {MAX_BODY_BYTES // 1024} KiB")
        try:
            text = body.decode()
            value = json.loads(text) if text.strip(_WHITE_SPACE) else {}
        except (ValueError, RecursionError) as error:
            raise BadRequest("The body is not valid JSON") from error
        if not isinstance(value, dict):
            raise BadRequest("The body must be a JSON object")
        return value


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes = b""

    def __repr__(self) -> str:
        return f"Answer({self.status}, ***)"  # its body may hold a QR


def json_answer(status: int, body: Mapping[str, Any], headers: Mapping[str, str]) -> Answer:
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return Answer(
        status,
        # supabase-js parses JSON only with this type; a QR is a credential and must not be cached.
        {
            "Content-Type": "application/json",
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            **headers,
        },
        text.encode("utf-8", "replace"),
    )
