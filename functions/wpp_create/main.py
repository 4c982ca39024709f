"""wpp-create: makes sure that the caller's organization has its client, and answers with its status immediately."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wpp.faas import aws_lambda, functions_framework
from wpp.faas.function import Call, Function, Result
from wpp.provisioning.idempotency import idempotency_key_from
from wpp.provisioning.options import options_from, row_target_from
from wpp.provisioning.service import connect
from wpp.redaction import masked

if TYPE_CHECKING:
    import flask

    from wpp.runtime import Invocation


def _run(invocation: Invocation, call: Call) -> Result:
    options = options_from(call.body)
    target = row_target_from(call.body)
    key = idempotency_key_from(call.headers.get("idempotency-key"))
    connection = connect(invocation, call.access_token, options=options, target=target, idempotency_key=key)
    fields = {
        "integration_id": connection.integration_id,
        "session": connection.session,
        "apiKey": masked(connection.api_key),
        "status": connection.status,
        **({"qrcode": connection.qrcode} if connection.qrcode else {}),
    }
    return Result(fields, {"Idempotent-Replayed": "true"} if connection.is_repeated else {})


FUNCTION = Function("wpp-create", _run)


def wpp_create(request: flask.Request) -> functions_framework.Result:
    """The target for functions-framework."""
    return functions_framework.serve(FUNCTION, request)


handler = aws_lambda.handler(FUNCTION)
"""The handler for AWS Lambda."""
