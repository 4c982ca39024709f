"""Whether a product's tables have what the functions need."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emulator.supabase.postgrest.schema import Column, SchemaCache

_UUID, _BOOLEAN, _TIME = ("uuid",), ("boolean",), ("timestamp with time zone",)
_JSONB = ("jsonb",)
_TEXT = ("text", "character varying", "character", "citext")
_NEEDED: dict[str, dict[str, tuple[str, ...]]] = {
    "organizations": {"id": _UUID},
    "profiles": {"id": _UUID, "organization_id": _UUID},
    "messenger_integrations": {
        "id": _UUID,
        "organization_id": _UUID,
        "messenger_type": _TEXT,
        "provider": _TEXT,
        "name": _TEXT,
        "is_active": _BOOLEAN,
        "is_primary": _BOOLEAN,
        "webhook_key": _TEXT,
        "settings": _JSONB,
        "created_at": _TIME,
        "updated_at": _TIME,
    },
}
_RELATED = [("profiles", "organizations"), ("messenger_integrations", "organizations")]


def misfits(schema: SchemaCache) -> list[str]:
    """What is missing or of another type, a short text each; empty if the functions can work with these tables."""
    problems = []
    for name, columns in _NEEDED.items():
        table = schema.tables.get(name)
        if table is None:
            problems.append(f"there is no table {name}")
            continue
        for column, types in columns.items():
            problems += _column_misfits(f"{name}.{column}", table.columns.get(column), types)
        if table.primary_key != ("id",):
            problems.append(f"{name}.id must be the primary key")
    related = {(key.table, key.foreign_table) for key in schema.foreign_keys}
    problems += [
        f"{table} has no foreign key to {other}"
        for table, other in _RELATED
        if (table, other) not in related and {table, other} <= set(schema.tables)
    ]
    return problems


def _column_misfits(name: str, column: Column | None, types: tuple[str, ...]) -> list[str]:
    if column is None:
        return [f"there is no column {name}"]
    kind = column.type.split("(")[0]
    if kind in types or (types is _TEXT and column.labels):  # an enum takes the same words
        return []
    return [f"{name} is {column.type}, not {types[0]}"]
