"""wpp-create: makes sure that the caller's organization has its client, and says at once where the connection stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wpp.faas import aws_lambda, functions_framework
from wpp.faas.function import Call, Function
from wpp.provisioning.request import idempotency_key_from, options_from
from wpp.provisioning.service import connect
from wpp.redaction import masked

if TYPE_CHECKING:
    import flask

    from wpp.runtime import Invocation


def _run(invocation: Invocation, call: Call) -> dict[str, Any]:
    options = options_from(call.body)
    key = idempotency_key_from(call.headers.get("idempotency-key"))
    connection = connect(invocation, call.access_token, options=options, idempotency_key=key)
    if connection.repeated:
        invocation.answer_headers["Idempotent-Replayed"] = "true"
    fields = {
        "session": connection.session,
        "apiKey": masked(connection.api_key),
        "status": connection.status,
    }
    return fields | ({"qrcode": connection.qrcode} if connection.qrcode else {})


FUNCTION = Function("wpp-create", _run)


def wpp_create(request: flask.Request) -> functions_framework.Result:
    """The target for functions-framework."""
    return functions_framework.serve(FUNCTION, request)


handler = aws_lambda.handler(FUNCTION)
"""The handler for AWS Lambda."""
