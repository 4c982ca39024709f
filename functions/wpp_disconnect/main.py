"""wpp-disconnect: stops the session of one number, then deactivates its row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wpp.faas import aws_lambda, functions_framework
from wpp.faas.function import Call, Function, Result
from wpp.provisioning.disconnect import disconnect
from wpp.provisioning.options import target_from

if TYPE_CHECKING:
    import flask

    from wpp.runtime import Invocation


def _run(invocation: Invocation, call: Call) -> Result:
    row = disconnect(invocation, call.access_token, target_from(call.body))
    return Result({"ok": True, "status": "disconnected", "integration_id": row.id})


FUNCTION = Function("wpp-disconnect", _run)


def wpp_disconnect(request: flask.Request) -> functions_framework.Result:
    """The target for functions-framework."""
    return functions_framework.serve(FUNCTION, request)


handler = aws_lambda.handler(FUNCTION)
"""The handler for AWS Lambda."""
