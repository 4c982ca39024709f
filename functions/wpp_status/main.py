"""wpp-status: the status of one number, and its QR: for pages that poll."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wpp.faas import aws_lambda, functions_framework
from wpp.faas.function import Call, Function, Result
from wpp.provisioning.look import look
from wpp.provisioning.options import target_from
from wpp.provisioning.record import record_of

if TYPE_CHECKING:
    import flask

    from wpp.runtime import Invocation


def _run(invocation: Invocation, call: Call) -> Result:
    # `force` is taken for compatibility: each call reads the live state.
    found = look(invocation, call.access_token, target_from(call.body))
    credentials = record_of(found.row).credentials if found.row else None
    fields = {
        "status": found.status,
        "qrcode": found.qrcode,
        "account_number": credentials.session if credentials else None,
        "integration_id": found.row.id if found.row else None,
        "message": found.message,
    }
    return Result({name: value for name, value in fields.items() if value is not None})


FUNCTION = Function("wpp-status", _run)


def wpp_status(request: flask.Request) -> functions_framework.Result:
    """The target for functions-framework."""
    return functions_framework.serve(FUNCTION, request)


handler = aws_lambda.handler(FUNCTION)
"""The handler for AWS Lambda."""
