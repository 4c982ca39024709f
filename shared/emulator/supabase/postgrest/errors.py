"""PostgREST's errors, those of PostgreSQL among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.messages import Response, json_response

if TYPE_CHECKING:
    import sqlite3


class PostgrestError(Exception):
    def __init__(self, status: int, code: str, message: str, details: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.details = status, code, message, details

    def response(self) -> Response:
        body = {"code": self.code, "message": self.message, "details": self.details, "hint": None}
        return json_response(self.status, body)


def parse_error(what: str) -> PostgrestError:
    return PostgrestError(400, "PGRST100", f"failed to parse {what}")


def unknown_column(table: str, column: str) -> PostgrestError:
    return PostgrestError(400, "42703", f"column {table}.{column} does not exist")


def from_sqlite(error: sqlite3.IntegrityError) -> PostgrestError:
    text = str(error)
    if "UNIQUE" in text:
        return PostgrestError(409, "23505", "duplicate key value violates unique constraint")
    if "FOREIGN KEY" in text:
        return PostgrestError(409, "23503", "insert or update violates foreign key constraint")
    return PostgrestError(400, "23502", "null value violates not-null constraint")
