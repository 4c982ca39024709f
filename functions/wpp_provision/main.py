"""wpp-provision: the same as wpp-create, then waits until there is a QR to scan or the number is connected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wpp.errors import BadRequest, InvalidToken, MissingAuthorization, OrganizationNotFound
from wpp.faas import aws_lambda, functions_framework
from wpp.faas.function import Call, Function, Result
from wpp.provisioning.options import options_from, row_target_from
from wpp.provisioning.service import PLAIN, connect

if TYPE_CHECKING:
    import flask

    from wpp.runtime import Invocation


def _run(invocation: Invocation, call: Call) -> Result:
    if options_from(call.body) != PLAIN:
        raise BadRequest("wpp-provision takes neither add_new nor force_recreate: call wpp-create with it")
    connection = connect(invocation, call.access_token, target=row_target_from(call.body), wait=True)
    return Result(
        {
            "status": connection.status,
            "integration_id": connection.integration_id,
            "account_number": connection.session,
            "session": connection.session,
            **({"qrcode": connection.qrcode} if connection.qrcode else {}),
        }
    )


# The texts that the product's users know from the function before this one.
FUNCTION = Function(
    "wpp-provision",
    _run,
    error_fields={"status": "error"},
    error_texts={
        MissingAuthorization: (401, "Требуется авторизация"),
        InvalidToken: (401, "Неверный токен авторизации"),
        OrganizationNotFound: (400, "Не найдена организация пользователя"),
    },
    operator_text="WhatsApp сейчас недоступен. Обратитесь к администратору: причина записана в журнале.",
)


def wpp_provision(request: flask.Request) -> functions_framework.Result:
    """The target for functions-framework."""
    return functions_framework.serve(FUNCTION, request)


handler = aws_lambda.handler(FUNCTION)
"""The handler for AWS Lambda."""
