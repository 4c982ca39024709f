"""The statements that change rows. Their values come out of the body by PostgreSQL's own hand, as the columns' types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg import sql

from emulator.supabase.postgrest.read import BODIES, SOURCE, select_query
from emulator.supabase.postgrest.sql import NOTHING, Fragments, Parameters, identifier, join, table_name

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
    mutation: sql.Composable, root: Node, body: str, parameters: Parameters, *, location: tuple[str, ...] = ()
) -> sql.Composed:
    """One row: how many were changed, the answer, and the values of the columns `location` of the only row."""
    rows: sql.Composable = sql.SQL("select * from pgrst_source")
    if body != "nothing":
        rows = select_query(root, parameters, SOURCE)
    keys = sql.SQL("(select array[{}] from pgrst_source limit 1)").format(
        join(", ", (sql.SQL("{}::text").format(identifier(name)) for name in location))
    )
    return sql.SQL("with pgrst_source as ({}) select count(_postgrest_t), {}, {} from ({}) _postgrest_t").format(
        mutation, sql.SQL(BODIES[body]), keys if location else sql.SQL("null"), rows
    )


def insert(
    table: Table,
    payload: Payload,
    upsert: Upsert | None,
    returning: list[str],
    parameters: Parameters,
    *,
    only: sql.Composable = NOTHING,
) -> sql.Composable:
    """`only` is a condition that the new rows must meet."""
    columns = join(", ", (identifier(name) for name in payload.columns))
    counts = upsert is not None and upsert.merges
    conditions: list[sql.Composable] = [sql.SQL(_COUNTED.format("+", "0"))] if counts else []
    conditions += [only] if only is not NOTHING else []
    return sql.SQL("insert into {}{} {} {}{}{}").format(
        table_name(table),
        sql.SQL(" ({})").format(columns) if payload.columns else NOTHING,
        _rows(table, payload, parameters),
        sql.SQL("where {}").format(join(" and ", conditions)) if conditions else NOTHING,
        _on_conflict(upsert, payload) if upsert is not None else NOTHING,
        _returning(table, returning),
    )


def update(node: Node, payload: Payload, returning: list[str], parameters: Parameters) -> sql.Composable:
    table = table_name(node.table)
    if not payload.columns:  # SQL has no `update` that sets nothing: no row changes
        names = join(", ", (_of(table, name) for name in returning)) if returning else sql.SQL("null")
        return sql.SQL("select {} from {} where false").format(names, table)
    sets = join(", ", (sql.SQL("{0} = pgrst_body.{0}").format(identifier(name)) for name in payload.columns))
    return sql.SQL("update {} set {} {}{}{}").format(
        table,
        sets,
        _body(node.table, payload, parameters),
        Fragments(node, table, parameters).where(node.level.where),
        _returning(node.table, returning),
    )


def delete(node: Node, returning: list[str], parameters: Parameters) -> sql.Composable:
    table = table_name(node.table)
    where = Fragments(node, table, parameters).where(node.level.where)
    return sql.SQL("delete from {}{}{}").format(table, where, _returning(node.table, returning))


def _rows(table: Table, payload: Payload, parameters: Parameters) -> sql.Composable:
    names = join(", ", (sql.SQL("pgrst_body.{}").format(identifier(name)) for name in payload.columns))
    return sql.SQL("select {} {}").format(names, _body(table, payload, parameters))


def _body(table: Table, payload: Payload, parameters: Parameters) -> sql.Composable:
    """`from …` with the rows of the body as `pgrst_body`, each column of the type that the table's has."""
    kind = "jsonb" if payload.applies_defaults else "json"
    given = sql.SQL("from (select {}::" + kind + " as json_data) pgrst_payload").format(parameters.add(payload.text))
    data = "pgrst_payload.json_data"
    if payload.applies_defaults:
        given = sql.SQL("{}, {}").format(given, _with_defaults(table, payload))
        data = "pgrst_defaults.json_data"
    names = [identifier(name) for name in payload.columns]
    if not names:
        source = "(values (1)) _" if payload.is_object else f"{kind}_array_elements({data}) _"
        return sql.SQL("{}, lateral (select from " + source + ") pgrst_body ").format(given)
    function = f"{kind}_to_record{'' if payload.is_object else 'set'}({data})"
    # Types come from the database's own catalog, in its own words.
    typed = (
        sql.SQL("{} " + table.columns[name].type.replace("%", "%%")).format(identifier(name))
        for name in payload.columns
    )
    rows = sql.SQL("select {} from " + function + " as _({})").format(join(", ", names), join(", ", typed))
    return sql.SQL("{}, lateral ({}) pgrst_body ").format(given, rows)


def _with_defaults(table: Table, payload: Payload) -> sql.Composable:
    """The body again, where each missing key has its column's default."""
    pairs = []
    for name in payload.columns:
        default = table.columns[name].default
        if default is not None:
            pairs.append(sql.SQL("{}, " + default.replace("%", "%%")).format(sql.Literal(name)))
    defaults = sql.SQL("jsonb_build_object({})").format(join(", ", pairs))
    if payload.is_object:
        merged = "{} || pgrst_payload.json_data as json_data"
    else:
        merged = (
            "coalesce(jsonb_agg({} || one), '[]') as json_data from jsonb_array_elements(pgrst_payload.json_data) one"
        )
    return sql.SQL("lateral (select " + merged + ") pgrst_defaults").format(defaults)


def _on_conflict(upsert: Upsert, payload: Payload) -> sql.Composable:
    if not upsert.target:
        return NOTHING
    target = join(", ", (identifier(name) for name in upsert.target))
    if not upsert.merges or not payload.columns:
        return sql.SQL(" on conflict ({}) do nothing").format(target)
    sets = join(", ", (sql.SQL("{0} = excluded.{0}").format(identifier(name)) for name in payload.columns))
    counted = sql.SQL(_COUNTED.format("-", "-1"))
    return sql.SQL(" on conflict ({}) do update set {} where {}").format(target, sets, counted)


def _returning(table: Table, names: list[str]) -> sql.Composable:
    if not names:
        return sql.SQL(" returning 1")
    return sql.SQL(" returning {}").format(join(", ", (_of(table_name(table), name) for name in names)))


def _of(table: sql.Composable, name: str) -> sql.Composable:
    return sql.SQL("{}.{}").format(table, sql.SQL("*") if name == "*" else identifier(name))
