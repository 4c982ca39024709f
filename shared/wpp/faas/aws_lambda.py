"""The adapter for AWS Lambda: an event of an HTTP API (payload format 2.0) or of a function URL in, its answer out.

Shapes: docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

from __future__ import annotations

import base64
import logging
import random
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from wpp.config import is_lambda
from wpp.faas import logs
from wpp.faas.embedded_metrics import EmbeddedMetrics
from wpp.faas.function import Function, prepare, refresh, report_to, respond
from wpp.faas.messages import MAX_BODY_BYTES, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from wpp.faas.messages import Answer

    Handler = Callable[[Mapping[str, Any], "Context"], dict[str, Any]]

_LOG = logging.getLogger("wpp")
_TOO_LARGE = b" " * (MAX_BODY_BYTES + 1)
_UNREADABLE = b"\xff"  # not UTF-8, so it is answered like any body that is not JSON


class Context(Protocol):
    """The parts that are used of the object that Lambda passes beside the event."""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int: ...


def handler(function: Function) -> Handler:
    """The handler of a function. On Lambda, what a first call would wait for is prepared here, while the instance starts."""
    if is_lambda():
        report_to(EmbeddedMetrics())
        prepare()
        _after_each_restore(_refresh)
    return partial(serve, function)


def serve(function: Function, event: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """The result of a function's handler. Never raises: an exception would become a bare 500 without CORS headers."""
    return _event_answer(respond(function, _request(event if isinstance(event, dict) else {}, context)))


def _after_each_restore(hook: Callable[[], None]) -> None:
    """Many instances start from one SnapStart snapshot, hours later: they must not share the state of the moment it was taken.

    docs.aws.amazon.com/lambda/latest/dg/snapstart-runtime-hooks-python.html
    """
    with suppress(ModuleNotFoundError):  # only Lambda's own runtime has it
        import_module("snapshot_restore_py").register_after_restore(hook)


def _refresh() -> None:
    random.seed()
    refresh()


def _request(event: Mapping[str, Any], context: Context) -> Request:
    """Does not trust the event's shape: one that is not an HTTP request has no method, and is answered 405."""
    method = _at(event, "requestContext", "http", "method")
    if not isinstance(method, str):
        logs.set_up()
        _LOG.error("the event is not an HTTP request of payload format 2.0; is the integration set to 1.0?")
        method = ""
    return Request(
        method.upper(),
        {name.lower(): value for name, value in _texts(event.get("headers")).items()},
        _body(event),
        _texts(event.get("queryStringParameters")),
        request_id=context.aws_request_id,
        seconds_left=context.get_remaining_time_in_millis() / 1000,
    )


def _at(value: Any, *path: str) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _texts(values: Any) -> dict[str, str]:
    if not isinstance(values, dict):
        return {}
    return {str(name): value for name, value in values.items() if isinstance(value, str)}


def _body(event: Mapping[str, Any]) -> bytes:
    text = event.get("body")
    if not isinstance(text, str):
        return b""
    if len(text) > 2 * MAX_BODY_BYTES:  # too large in base64 as well; not decoded at all
        return _TOO_LARGE
    if not event.get("isBase64Encoded"):
        return text.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return _UNREADABLE


def _event_answer(answer: Answer) -> dict[str, Any]:
    return {
        "statusCode": answer.status,
        "headers": dict(answer.headers),
        "body": answer.body.decode(),
        "isBase64Encoded": False,
    }
