"""The statement that reads: embedded tables are lateral joins, and PostgreSQL itself writes the JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from emulator.supabase.postgrest.schema import SCHEMA
from emulator.supabase.postgrest.sql import NOTHING, Fragments, Parameters, identifier, join, table_name

if TYPE_CHECKING:
    from emulator.supabase.postgrest.plan import Node

SOURCE = sql.SQL("pgrst_source")
BODIES = {
    "list": "coalesce(json_agg(_postgrest_t), '[]')::text",
    "object": "coalesce(json_agg(_postgrest_t)->0, 'null')::text",
    "list without nulls": "coalesce(json_strip_nulls(json_agg(_postgrest_t)), '[]')::text",
    "object without nulls": "coalesce(json_strip_nulls(json_agg(_postgrest_t)->0), 'null')::text",
    "csv": (
        "coalesce((select string_agg(key, ',') from (select json_object_keys(row_to_json(one)) as key"
        " from (select * from pgrst_source limit 1) one) keys), '') || chr(10) ||"
        " coalesce(string_agg(substring(_postgrest_t::text, 2, length(_postgrest_t::text) - 2), chr(10)), '')"
    ),
    "nothing": "''",
}
"""How the rows `_postgrest_t` become the body of the answer."""


def read_statement(root: Node, body: str, parameters: Parameters, *, count: bool) -> sql.Composed:
    """One row: how many there are in all (null unless `count`), how many are in the answer, and the answer."""
    total: sql.Composable = sql.SQL("null::bigint")
    counted: sql.Composable = NOTHING
    if count:
        total = sql.SQL("(select count(*) from pgrst_count)")
        counted = sql.SQL(", pgrst_count as ({})").format(count_query(root, parameters))
    return sql.SQL(
        "with pgrst_source as ({query}){counted} select {total}, count(_postgrest_t), {body}"
        " from (select * from pgrst_source) _postgrest_t"
    ).format(query=select_query(root, parameters), counted=counted, total=total, body=sql.SQL(BODIES[body]))


def select_query(
    node: Node,
    parameters: Parameters,
    source: sql.Composable | None = None,
    parent: Fragments | None = None,
) -> sql.Composable:
    """The rows of a node with what is embedded in them, from its table or from `source`."""
    fragments = Fragments(node, source or _qualifier(node), parameters)
    wanted = [fragments.selected(column) for column in node.columns]
    wanted += [_shown(child) for child in node.children if child.columns or child.children]
    if not wanted and not node.children and node.relationship is not None:
        wanted = [fragments.column("*")]
    return sql.SQL("select {wanted} from {source}{joins}{where}{order}{limit}").format(
        wanted=join(", ", wanted),
        source=source or _from(node),
        joins=join("", (_joined(child, parameters, fragments) for child in node.children)),
        where=_where(node, fragments, _on(node, fragments, parent)),
        order=fragments.order(node.level.order),
        limit=_range(node, parameters),
    )


def count_query(node: Node, parameters: Parameters, parent: Fragments | None = None) -> sql.Composable:
    """A row for each that there would be without a limit. Inner joins are conditions here."""

    def exists(child: Node) -> sql.Composable:
        return sql.SQL("exists ({})").format(count_query(child, parameters, fragments))

    fragments = Fragments(node, _qualifier(node), parameters, exists)
    inner = [exists(child) for child in node.children if child.is_inner]
    where = _where(node, fragments, [*_on(node, fragments, parent), *inner])
    return sql.SQL("select 1 from {}{}").format(_from(node), where)


def _qualifier(node: Node) -> sql.Composable:
    return identifier(node.alias) if node.alias else table_name(node.table)


def _from(node: Node) -> sql.Composable:
    found = table_name(node.table)
    if node.alias:
        found = sql.SQL("{} as {}").format(found, identifier(node.alias))
    junction = node.relationship.junction if node.relationship else None
    return sql.SQL("{}, {}").format(found, identifier(SCHEMA, junction.table)) if junction else found


def _where(node: Node, fragments: Fragments, extra: list[sql.Composable]) -> sql.Composable:
    parts = [fragments.condition(member) for member in node.level.where] + extra
    return sql.SQL(" where {}").format(join(" and ", parts)) if parts else NOTHING


def _on(node: Node, fragments: Fragments, parent: Fragments | None) -> list[sql.Composable]:
    """What makes a row of an embedded table one of its parent's."""
    if node.relationship is None or parent is None:
        return []
    equal = sql.SQL("{} = {}")
    junction = node.relationship.junction
    if junction is None:
        return [equal.format(parent.column(own), fragments.column(other)) for own, other in node.relationship.columns]
    table = (SCHEMA, junction.table)
    here: list[sql.Composable] = [
        equal.format(parent.column(own), identifier(*table, column)) for own, column in junction.source
    ]
    return here + [equal.format(fragments.column(own), identifier(*table, column)) for own, column in junction.target]


def _shown(child: Node) -> sql.Composable:
    aggregate, name = identifier(child.aggregate), identifier(child.name)
    if child.is_spread:
        return sql.SQL("{}.*").format(aggregate)
    if child.relationship is not None and child.relationship.is_to_one:
        return sql.SQL("row_to_json({}.*) as {}").format(aggregate, name)
    return sql.SQL("coalesce({0}.{0}, '[]') as {1}").format(aggregate, name)


def _joined(child: Node, parameters: Parameters, parent: Fragments) -> sql.Composable:
    aggregate = identifier(child.aggregate)
    rows = select_query(child, parameters, parent=parent)
    condition: sql.Composable = sql.SQL("true")
    if child.relationship is not None and not child.relationship.is_to_one:
        rows = sql.SQL("select {} from ({}) as {}").format(_aggregated(child, aggregate), rows, aggregate)
        if child.is_inner:
            condition = sql.SQL("{} is not null").format(aggregate)
    kind = sql.SQL("inner" if child.is_inner else "left")
    return sql.SQL(" {} join lateral ({}) as {} on {}").format(kind, rows, aggregate, condition)


def _aggregated(child: Node, aggregate: sql.Composable) -> sql.Composable:
    """All rows as one list; spread, each column as a list of its own."""
    if not child.is_spread:
        return sql.SQL("json_agg({0}) as {0}").format(aggregate)
    names: list[str] = []
    for column in child.columns:
        names += list(child.table.columns) if column.field.name == "*" else [column.alias or column.field.name]
    names += [inner.name for inner in child.children]
    listed = sql.SQL("coalesce(json_agg({0}.{1}), '[]') as {1}")
    return join(", ", (listed.format(aggregate, identifier(name)) for name in names))


def _range(node: Node, parameters: Parameters) -> sql.Composable:
    limit, offset = node.level.limit, node.level.offset
    found = NOTHING if limit is None else sql.SQL(" limit {}").format(parameters.add(limit))
    return sql.SQL("{} offset {}").format(found, parameters.add(offset)) if offset else found
