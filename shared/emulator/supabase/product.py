"""The product's rows, as its own code would write them: what `make run` begins with, and what tests put in and look at."""

from __future__ import annotations

import json
import secrets
import uuid
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from emulator.supabase.postgres.databases import SchemaError

if TYPE_CHECKING:
    from emulator.supabase.database import Connection, Database
    from emulator.supabase.postgrest.schema import Column

_TABLE = "messenger_integrations"


class Product:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add_member(self, user_id: str, email: str, organization_id: str | None) -> None:
        """A profile, in an organization that is made where it is missing. Raises SchemaError where the tables forbid it."""
        try:
            self._add_member(user_id, email, organization_id)
        except psycopg.Error as error:
            raise SchemaError(
                f"a user with an organization cannot be inserted: {error.diag.message_primary}"
            ) from error

    def _add_member(self, user_id: str, email: str, organization_id: str | None) -> None:
        with self._database.transaction() as connection, connection.pipeline():
            connection.execute(
                "insert into auth.users (id, email) values (%s, %s) on conflict do nothing", [user_id, email]
            )
            if organization_id is not None:
                organization = {"id": organization_id, "name": "Demo School"}
                self._insert(connection, "organizations", organization, user_id, "do nothing")
            profile = {"id": user_id, "organization_id": organization_id, "email": email}
            # A trigger on auth.users may have made the profile.
            again = "(id) do update set organization_id = excluded.organization_id"
            self._insert(connection, "profiles", profile, user_id, again)

    def insert_row(self, columns: dict[str, Any]) -> dict[str, Any]:
        row: dict[str, Any] = {
            "id": str(uuid.uuid4()),
            "messenger_type": "whatsapp",
            "provider": "wpp",
            "name": "WhatsApp",
            "webhook_key": secrets.token_hex(16),
            **columns,
        }
        with self._database.transaction() as connection:
            self._insert(connection, _TABLE, row, str(uuid.uuid4()))
        return next(found for found in self.rows(str(columns["organization_id"])) if found["id"] == row["id"])

    def rows(self, organization_id: str | None) -> list[dict[str, Any]]:
        """Oldest first, as JSON has them."""
        statement = (
            "select row_to_json(row) from messenger_integrations row"
            " where %(id)s::uuid is null or organization_id = %(id)s order by created_at, id"
        )
        return [row for (row,) in self._database.query(statement, {"id": organization_id})]

    def _insert(
        self, connection: Connection, table: str, row: dict[str, Any], some_id: str, conflict: str | None = None
    ) -> None:
        columns = self._database.schema.tables[table].columns
        needed = {c.name: _filler(c, some_id) for c in columns.values() if c.is_required and c.default is None}
        values = needed | {name: value for name, value in row.items() if name in columns}
        names = sql.SQL(", ").join(map(sql.Identifier, values))
        connection.execute(
            sql.SQL("insert into {0} ({1}) select {1} from json_populate_record(null::{0}, %s){2}").format(
                sql.Identifier(table), names, sql.SQL(f" on conflict {conflict}" if conflict else "")
            ),
            [json.dumps(values)],
        )


def _filler(column: Column, some_id: str) -> Any:
    """A value for a column of the product's own that must have one."""
    if column.labels:
        return column.labels[0]
    kind = column.type.split("(")[0]
    if kind.endswith("[]"):
        return []
    if kind in ("json", "jsonb"):
        return {}
    values = {"uuid": some_id, "boolean": False, "date": "2026-01-01"}
    if kind.startswith(("timestamp", "date")):
        return "2026-01-01T00:00:00+00:00"
    if kind in ("smallint", "integer", "bigint", "numeric", "real", "double precision"):
        return 0
    return values.get(kind, f"{column.name}-{some_id[:8]}")
