"""Reads and writes of one table, as PostgREST answers them."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

from emulator.messages import Request, Response, json_response
from emulator.supabase.database import FOREIGN_KEYS, TABLES, Database, shown, stored, timestamp
from emulator.supabase.postgrest.errors import PostgrestError, from_sqlite
from emulator.supabase.postgrest.query import Column, Condition, Field, Group, Node, parse_query
from emulator.supabase.postgrest.sql import column_type, expression, order_and_range, where

if TYPE_CHECKING:
    from collections.abc import Sequence

_OBJECT = "application/vnd.pgrst.object+json"


class Rest:
    def __init__(self, database: Database) -> None:
        self._database = database
        self.or_filter_bug = True
        """Before 14.4: `or=` and `and=` are applied again to the changed rows, so a change can come back empty."""

    def answer(self, table: str, request: Request) -> Response:
        try:
            if table not in TABLES:
                raise PostgrestError(404, "PGRST205", f"Could not find the table 'public.{table}' in the schema cache")
            return self._act(table, request)
        except PostgrestError as error:
            return error.response()
        except sqlite3.IntegrityError as error:
            return from_sqlite(error).response()

    def _act(self, table: str, request: Request) -> Response:
        node, rest = parse_query(table, request.query)
        prefer = {p.strip() for p in request.headers.get("prefer", "").split(",")}
        if request.method in ("GET", "HEAD"):
            with self._database.reading() as connection:
                return _represented(200, self._select(connection, node), request)
        with self._database.transaction() as connection:
            if request.method == "POST":
                keys = self._insert(connection, table, request, rest.get("on_conflict", "id"), prefer)
                node.where.clear()
            elif request.method == "PATCH":
                keys = self._update(connection, node, request)
            elif request.method == "DELETE":
                return self._delete(connection, node, prefer, request)
            else:
                raise PostgrestError(405, "PGRST117", f"Unsupported HTTP method: {request.method}")
            created = request.method == "POST"
            if "return=representation" not in prefer:
                return Response(201 if created else 204)
            return _represented(201 if created else 200, self._changed(connection, node, keys), request)

    def _select(
        self, connection: sqlite3.Connection, node: Node, extra: str = "true", *given: Any
    ) -> list[dict[str, Any]]:
        condition, parameters = where(node.relation, node.where)
        columns = _columns(node)
        wanted = ", ".join(
            f"{expression(node.relation, c.field or Field(c.name))} as c{i}" for i, c in enumerate(columns)
        )
        links = ", ".join(TABLES[node.relation])  # for the joins of what is embedded
        sql = f"select {wanted + ', ' if wanted else ''}{links} from {node.relation} where {condition} and {extra}"
        rows = connection.execute(sql + order_and_range(node), [*parameters, *given]).fetchall()
        return [self._assembled(connection, node, columns, row) for row in rows]

    def _assembled(
        self, connection: sqlite3.Connection, node: Node, columns: Sequence[Column], row: sqlite3.Row
    ) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for number, column in enumerate(columns):
            field = column.field or Field(column.name)
            kind = "text" if field.path else column_type(node.relation, field.column)
            result[column.name] = shown(row[f"c{number}"], kind)
        for child in node.embedded:
            result[child.name] = self._embedded(connection, node.relation, child, row)
        return result

    def _embedded(self, connection: sqlite3.Connection, parent: str, child: Node, row: sqlite3.Row) -> Any:
        for (table, column), target in FOREIGN_KEYS.items():
            if (table, target) == (parent, child.relation):
                return next(iter(self._select(connection, child, "id = ?", row[column])), None)
            if (table, target) == (child.relation, parent):
                return self._select(connection, child, f"{column} = ?", row["id"])
        raise PostgrestError(
            400,
            "PGRST200",
            f"Could not find a relationship between '{parent}' and '{child.relation}' in the schema cache",
        )

    def _insert(
        self, connection: sqlite3.Connection, table: str, request: Request, conflict: str, prefer: set[str]
    ) -> list[str]:
        body = request.json()
        keys: list[str] = []
        for given in body if isinstance(body, list) else [body]:
            values = self._database.defaults(table) | _checked(table, given)
            names = list(values)
            sql = f"insert into {table} ({', '.join(names)}) values ({', '.join('?' * len(names))})"
            if "resolution=ignore-duplicates" in prefer:
                sql += f" on conflict ({conflict}) do nothing"
            elif "resolution=merge-duplicates" in prefer:
                sets = ", ".join(f"{name} = excluded.{name}" for name in given)
                sql += f" on conflict ({conflict}) do update set {sets}"
            keys += [row["id"] for row in connection.execute(sql + " returning id", list(values.values())).fetchall()]
        return keys

    def _update(self, connection: sqlite3.Connection, node: Node, request: Request) -> list[str]:
        values = _checked(node.relation, request.json())
        if self._database.updated_at_trigger and "updated_at" in TABLES[node.relation]:
            values["updated_at"] = timestamp(self._database.clock.now())
        condition, parameters = where(node.relation, node.where)
        sets = ", ".join(f"{name} = ?" for name in values)
        sql = f"update {node.relation} set {sets} where {condition} returning id"
        return [row["id"] for row in connection.execute(sql, [*values.values(), *parameters]).fetchall()]

    def _delete(self, connection: sqlite3.Connection, node: Node, prefer: set[str], request: Request) -> Response:
        gone = self._select(connection, node)
        condition, parameters = where(node.relation, node.where)
        connection.execute(f"delete from {node.relation} where {condition}", parameters)
        return _represented(200, gone, request) if "return=representation" in prefer else Response(204)

    def _changed(self, connection: sqlite3.Connection, node: Node, keys: list[str]) -> list[dict[str, Any]]:
        groups: list[Condition | Group] = [part for part in node.where if isinstance(part, Group)]
        node.where = groups if self.or_filter_bug else []
        return self._select(connection, node, f"id in ({', '.join('?' * len(keys))})", *keys)


def _columns(node: Node) -> list[Column]:
    columns: list[Column] = []
    for column in node.columns:
        columns += [column] if column.field else [Column(name, Field(name)) for name in TABLES[node.relation]]
    return columns


def _checked(table: str, given: Any) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise PostgrestError(400, "PGRST102", "Empty or invalid json")
    values = {}
    for name, value in given.items():
        if name not in TABLES[table]:
            raise PostgrestError(
                400, "PGRST204", f"Could not find the '{name}' column of '{table}' in the schema cache"
            )
        try:
            values[name] = stored(value, TABLES[table][name])
        except ValueError as error:
            raise PostgrestError(400, "22P02", str(error)) from error
    return values


def _represented(status: int, rows: list[dict[str, Any]], request: Request) -> Response:
    if _OBJECT not in request.headers.get("accept", ""):
        return json_response(status, rows)
    if len(rows) != 1:
        details = f"The result contains {len(rows)} rows"
        raise PostgrestError(406, "PGRST116", "Cannot coerce the result to a single JSON object", details)
    return json_response(status, rows[0], {"Content-Type": _OBJECT})
