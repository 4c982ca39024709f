"""PostgREST's errors, and its HTTP status for each of PostgreSQL's.

https://docs.postgrest.org/en/v14/references/errors.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emulator.messages import Response, json_response

if TYPE_CHECKING:
    import psycopg

_JSON = {"Content-Type": "application/json; charset=utf-8"}
_STATUS_OF_STATE = {
    "21000": 500,
    "23503": 409,
    "23505": 409,
    "25006": 405,
    "42883": 404,
    "42P01": 404,
    "42P17": 500,
    "53400": 500,
    "57P01": 503,
    "P0001": 400,
}
_STATUS_OF_CLASS = {
    **dict.fromkeys(("09", "25", "2D", "38", "39", "3B", "40", "54", "55", "57", "58", "F0", "HV", "P0", "XX"), 500),
    **dict.fromkeys(("0L", "0P", "28"), 403),
    **dict.fromkeys(("08", "53"), 503),
}


class PostgrestError(Exception):
    def __init__(self, status: int, code: str, message: str, details: Any = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.details, self.hint = status, code, message, details, hint
        self.headers: dict[str, str] = {}

    def response(self) -> Response:
        body = {"code": self.code, "details": self.details, "hint": self.hint, "message": self.message}
        return json_response(self.status, body, _JSON | self.headers)


def invalid_body(message: str) -> PostgrestError:
    return PostgrestError(400, "PGRST102", message)


def out_of_range(details: str, total: int | None = None) -> PostgrestError:
    error = PostgrestError(416, "PGRST103", "Requested range not satisfiable", details)
    if total is not None:
        error.headers["Content-Range"] = f"*/{total}"
    return error


def not_embedded(name: str) -> PostgrestError:
    return PostgrestError(
        400,
        "PGRST108",
        f"'{name}' is not an embedded resource in this request",
        hint=f"Verify that '{name}' is included in the 'select' query parameter.",
    )


def not_one_row(count: int) -> PostgrestError:
    message = "Cannot coerce the result to a single JSON object"
    return PostgrestError(406, "PGRST116", message, f"The result contains {count} rows")


def unknown_column(table: str, column: str) -> PostgrestError:
    return PostgrestError(400, "PGRST204", f"Could not find the '{column}' column of '{table}' in the schema cache")


def unauthorized(code: str, message: str, details: str | None = None) -> PostgrestError:
    error = PostgrestError(401, code, message, details)
    error.headers["WWW-Authenticate"] = f'Bearer error="invalid_token", error_description="{message}"'
    return error


def from_postgres(error: psycopg.Error, *, is_anonymous: bool) -> PostgrestError:
    """An error of the database, as its client sees it."""
    state = error.sqlstate
    if state is None:  # of psycopg itself: nothing was sent
        if "NUL" in str(error):
            return PostgrestError(400, "22021", 'invalid byte sequence for encoding "UTF8": 0x00')
        return PostgrestError(503, "PGRST000", "Database connection error. Retrying the connection.", str(error))
    message = error.diag.message_primary or ""
    found = PostgrestError(
        _status(state, message, is_anonymous), state, message, error.diag.message_detail, error.diag.message_hint
    )
    if found.status == 401:
        found.headers["WWW-Authenticate"] = "Bearer"
    return found


def _status(state: str, message: str, is_anonymous: bool) -> int:
    if state == "42501":
        return 401 if is_anonymous else 403
    if state == "21000" and message.endswith("requires a WHERE clause"):
        return 400
    if state.startswith("PT") and state[2:].isdigit():  # raised by a function that chooses its status
        return int(state[2:])
    return _STATUS_OF_STATE.get(state) or _STATUS_OF_CLASS.get(state[:2], 400)
