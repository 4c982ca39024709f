"""The root of the API: the tables and their columns as OpenAPI 2.0 has them. Not the parameters of every operation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emulator.messages import Response, json_response

if TYPE_CHECKING:
    from emulator.supabase.postgrest.schema import Column, ForeignKey, SchemaCache, Table

VERSION = "14.17"
_TYPES = {
    "boolean": "boolean",
    **dict.fromkeys(("smallint", "integer", "bigint"), "integer"),
    **dict.fromkeys(("numeric", "real", "double precision"), "number"),
    **dict.fromkeys(("json", "jsonb"), None),
}


def description(schema: SchemaCache) -> Response:
    body = {
        "swagger": "2.0",
        "info": {"title": "standard public schema", "description": "", "version": VERSION},
        "basePath": "/",
        "schemes": ["http"],
        "consumes": ["application/json", "application/vnd.pgrst.object+json", "text/csv"],
        "produces": ["application/json", "application/vnd.pgrst.object+json", "text/csv"],
        "paths": {"/": _operations(["get"])} | {f"/{table.name}": _paths(table) for table in schema.tables.values()},
        "definitions": {table.name: _definition(table, schema.foreign_keys) for table in schema.tables.values()},
    }
    return json_response(200, body, {"Content-Type": "application/openapi+json; charset=utf-8"})


def _paths(table: Table) -> dict[str, Any]:
    return _operations(["get"] if table.is_view else ["get", "post", "patch", "delete"])


def _operations(methods: list[str]) -> dict[str, Any]:
    return {method: {"responses": {"200": {"description": "OK"}}} for method in methods}


def _definition(table: Table, keys: list[ForeignKey]) -> dict[str, Any]:
    foreign = {key.columns[0][0]: key for key in keys if key.table == table.name and len(key.columns) == 1}
    columns = table.columns.values()
    return {
        "type": "object",
        "required": [column.name for column in columns if column.is_required],
        "properties": {column.name: _property(column, table, foreign.get(column.name)) for column in columns},
    }


def _property(column: Column, table: Table, key: ForeignKey | None) -> dict[str, Any]:
    notes = []
    if column.name in table.primary_key:
        notes.append("This is a Primary Key.<pk/>")
    if key is not None:
        other, there = key.foreign_table, key.columns[0][1]
        notes.append(f"This is a Foreign Key to `{other}.{there}`.<fk table='{other}' column='{there}'/>")
    found: dict[str, Any] = {"format": column.type}
    kind = "array" if column.type.endswith("[]") else _TYPES.get(column.type.split("(")[0], "string")
    if kind is not None:
        found["type"] = kind
    if column.default is not None:
        found["default"] = column.default
    if column.labels:
        found["enum"] = list(column.labels)
    if notes:
        found["description"] = "Note:\n" + "\n".join(notes)
    return found
