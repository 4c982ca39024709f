"""wpp-qr: the QR of one session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wpp.faas import aws_lambda, functions_framework
from wpp.faas.function import Call, Function, Result
from wpp.provisioning.look import qr_of
from wpp.provisioning.options import target_from

if TYPE_CHECKING:
    import flask

    from wpp.runtime import Invocation


def _run(invocation: Invocation, call: Call) -> Result:
    return Result({"qr": qr_of(invocation, call.access_token, target_from(call.body))})


FUNCTION = Function("wpp-qr", _run, answers_get=True)


def wpp_qr(request: flask.Request) -> functions_framework.Result:
    """The target for functions-framework."""
    return functions_framework.serve(FUNCTION, request)


handler = aws_lambda.handler(FUNCTION)
"""The handler for AWS Lambda."""
