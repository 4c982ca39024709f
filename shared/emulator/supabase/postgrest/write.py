"""The statements that change rows. Their values come out of the body by PostgreSQL's own hand, as the columns' types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from emulator.supabase.postgrest.read import BODIES, SOURCE, select_query
from emulator.supabase.postgrest.sql import NOTHING, Fragments, Parameters, identifier, quoted, table_name

if TYPE_CHECKING:
    from emulator.supabase.postgrest.body import Payload
    from emulator.supabase.postgrest.plan import Node
    from emulator.supabase.postgrest.schema import Table

_COUNTED = (
    "set_config('pgrst.inserted', (coalesce(nullif(current_setting('pgrst.inserted', true), '')::int, 0) {} 1)::text, true)"
    " <> '{}'"
)
"""Counts rows in passing, and is always true: an upsert says which rows it inserted in no other way."""
INSERTED = "select nullif(current_setting('pgrst.inserted', true), '')::int"


@dataclass(frozen=True)
class Upsert:
    """What happens to rows that are there already: they stay as they are, or take the new values."""

    merges: bool
    target: tuple[str, ...]


def write_statement(
    mutation: str, root: Node, body: str, parameters: Parameters, *, location: tuple[str, ...] = ()
) -> str:
    """One row: how many were changed, the answer, and the values of the columns `location` of the only row."""
    rows = "select * from pgrst_source"
    if body != "nothing":
        rows = select_query(root, parameters, SOURCE)
    keys = "(select array[{}] from pgrst_source limit 1)".format(
        ", ".join(f"{identifier(name)}::text" for name in location)
    )
    return "with pgrst_source as ({}) select count(_postgrest_t), {}, {} from ({}) _postgrest_t".format(
        mutation, BODIES[body], keys if location else "null", rows
    )


def insert(
    table: Table,
    payload: Payload,
    upsert: Upsert | None,
    returning: list[str],
    parameters: Parameters,
    *,
    only: str = NOTHING,
) -> str:
    """`only` is a condition that the new rows must meet."""
    columns = ", ".join(identifier(name) for name in payload.columns)
    counts = upsert is not None and upsert.merges
    conditions: list[str] = [_COUNTED.format("+", "0")] if counts else []
    conditions += [only] if only is not NOTHING else []
    return "insert into {}{} {} {}{}{}".format(
        table_name(table),
        f" ({columns})" if payload.columns else NOTHING,
        _rows(table, payload, parameters),
        "where {}".format(" and ".join(conditions)) if conditions else NOTHING,
        _on_conflict(upsert, payload) if upsert is not None else NOTHING,
        _returning(table, returning),
    )


def update(node: Node, payload: Payload, returning: list[str], parameters: Parameters) -> str:
    table = table_name(node.table)
    if not payload.columns:  # SQL has no `update` that sets nothing: no row changes
        names = ", ".join(_of(table, name) for name in returning) if returning else "null"
        return f"select {names} from {table} where false"
    sets = ", ".join(f"{name} = pgrst_body.{name}" for name in map(identifier, payload.columns))
    body = _body(node.table, payload, parameters)
    where = Fragments(node, table, parameters).where(node.level.where)
    return f"update {table} set {sets} {body}{where}{_returning(node.table, returning)}"


def delete(node: Node, returning: list[str], parameters: Parameters) -> str:
    table = table_name(node.table)
    where = Fragments(node, table, parameters).where(node.level.where)
    return f"delete from {table}{where}{_returning(node.table, returning)}"


def _rows(table: Table, payload: Payload, parameters: Parameters) -> str:
    names = ", ".join(f"pgrst_body.{identifier(name)}" for name in payload.columns)
    return f"select {names} {_body(table, payload, parameters)}"


def _body(table: Table, payload: Payload, parameters: Parameters) -> str:
    """`from …` with the rows of the body as `pgrst_body`, each column of the type that the table's has."""
    kind = "jsonb" if payload.applies_defaults else "json"
    given = f"from (select {parameters.add(payload.text)}::{kind} as json_data) pgrst_payload"
    data = "pgrst_payload.json_data"
    if payload.applies_defaults:
        given = f"{given}, {_with_defaults(table, payload)}"
        data = "pgrst_defaults.json_data"
    names = [identifier(name) for name in payload.columns]
    if not names:
        source = "(values (1)) _" if payload.is_object else f"{kind}_array_elements({data}) _"
        return f"{given}, lateral (select from {source}) pgrst_body "
    function = f"{kind}_to_record{'' if payload.is_object else 'set'}({data})"
    # Types come from the database's own catalog, in its own words.
    typed = (f"{identifier(name)} {table.columns[name].type.replace('%', '%%')}" for name in payload.columns)
    rows = f"select {', '.join(names)} from {function} as _({', '.join(typed)})"
    return f"{given}, lateral ({rows}) pgrst_body "


def _with_defaults(table: Table, payload: Payload) -> str:
    """The body again, where each missing key has its column's default."""
    pairs = []
    for name in payload.columns:
        default = table.columns[name].default
        if default is not None:
            pairs.append(quoted(name, "'") + ", " + default.replace("%", "%%"))
    defaults = "jsonb_build_object({})".format(", ".join(pairs))
    if payload.is_object:
        merged = "{} || pgrst_payload.json_data as json_data"
    else:
        merged = (
            "coalesce(jsonb_agg({} || one), '[]') as json_data from jsonb_array_elements(pgrst_payload.json_data) one"
        )
    return f"lateral (select {merged.format(defaults)}) pgrst_defaults"


def _on_conflict(upsert: Upsert, payload: Payload) -> str:
    if not upsert.target:
        return NOTHING
    target = ", ".join(identifier(name) for name in upsert.target)
    if not upsert.merges or not payload.columns:
        return f" on conflict ({target}) do nothing"
    sets = ", ".join(f"{name} = excluded.{name}" for name in map(identifier, payload.columns))
    counted = _COUNTED.format("-", "-1")
    return f" on conflict ({target}) do update set {sets} where {counted}"


def _returning(table: Table, names: list[str]) -> str:
    if not names:
        return " returning 1"
    return " returning {}".format(", ".join(_of(table_name(table), name) for name in names))


def _of(table: str, name: str) -> str:
    return f"{table}.{'*' if name == '*' else identifier(name)}"
