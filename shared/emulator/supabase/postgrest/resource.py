"""A request to one table, as PostgREST answers it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg

from emulator.supabase.postgrest.errors import PostgrestError, from_postgres
from emulator.supabase.postgrest.media import negotiate
from emulator.supabase.postgrest.openapi import description
from emulator.supabase.postgrest.parameters import parse_query
from emulator.supabase.postgrest.plan import plan
from emulator.supabase.postgrest.preferences import Preferences
from emulator.supabase.postgrest.reading import read
from emulator.supabase.postgrest.request import Call
from emulator.supabase.postgrest.schema import SCHEMA
from emulator.supabase.postgrest.writing import create, put, remove, replace_values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emulator.messages import Request, Response
    from emulator.supabase.database import Database

_ANSWERS = {"GET": read, "HEAD": read, "POST": create, "PATCH": replace_values, "PUT": put, "DELETE": remove}


@dataclass(frozen=True)
class Caller:
    """Whom the database sees."""

    role: str
    claims: Mapping[str, object]
    """Of the JWT, for policies."""


class Rest:
    def __init__(self, database: Database) -> None:
        self._database = database
        self.or_filter_bug = False
        """Before 14.4: `or=` and `and=` are applied again to the changed rows, so a change can come back empty."""

    def answer(self, path: str, request: Request, caller: Caller) -> Response:
        try:
            if path == "":
                return description(self._database.schema)
            return self._answer(_table(path), request, caller)
        except PostgrestError as error:
            return error.response()
        except psycopg.Error as error:
            return from_postgres(error, is_anonymous=caller.role == "anon").response()

    def _answer(self, table: str, request: Request, caller: Caller) -> Response:
        answer = _ANSWERS.get(request.method)
        if answer is None:
            raise PostgrestError(405, "PGRST117", f"Unsupported HTTP method: {request.method}")
        _require_schema(request)
        preferences = Preferences.parse(request.headers.get("prefer", ""))
        query = parse_query(request.query)
        node = plan(self._database.schema, table, query)
        media = negotiate(request.headers)
        reads = request.method in ("GET", "HEAD")
        with self._database.acting(_settings(request, caller, preferences), reads=reads) as transaction:
            return answer(Call(request, query, node, preferences, media, transaction, self.or_filter_bug))


def _table(path: str) -> str:
    if path.startswith("rpc/"):
        name = path.removeprefix("rpc/")
        message = f"Could not find the function {SCHEMA}.{name} without parameters in the schema cache"
        details = f"Searched for the function {SCHEMA}.{name}, but the emulator has no functions to call."
        raise PostgrestError(404, "PGRST202", message, details)
    if "/" in path:
        raise PostgrestError(404, "PGRST125", "Invalid path specified in request URL")
    return path


def _require_schema(request: Request) -> None:
    header = "accept-profile" if request.method in ("GET", "HEAD") else "content-profile"
    profile = request.headers.get(header, SCHEMA)
    if profile != SCHEMA:
        hint = f"Only the following schemas are exposed: {SCHEMA}"
        raise PostgrestError(406, "PGRST106", f"Invalid schema: {profile}", hint=hint)


def _settings(request: Request, caller: Caller, preferences: Preferences) -> dict[str, str]:
    """What functions and policies of the product can ask for. The role comes last: it may set nothing more."""
    settings = {
        "search_path": f"{SCHEMA}, extensions",
        "request.jwt.claims": json.dumps({**caller.claims, "role": caller.role}),
        "request.method": request.method,
        "request.path": request.path.removeprefix("/rest/v1"),
        "request.headers": json.dumps(dict(request.headers)),
        "transaction_read_only": "on" if request.method in ("GET", "HEAD") else "off",
    }
    if preferences.timezone is not None:
        settings["timezone"] = preferences.timezone
    # As PostgREST connects: with a role that may become no other than these.
    return settings | {"session_authorization": "authenticator", "role": caller.role}
