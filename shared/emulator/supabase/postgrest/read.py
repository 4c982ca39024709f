"""The statement that reads: embedded tables are lateral joins, and PostgreSQL itself writes the JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.supabase.postgrest.schema import SCHEMA
from emulator.supabase.postgrest.sql import NOTHING, Fragments, Parameters, identifier, table_name

if TYPE_CHECKING:
    from emulator.supabase.postgrest.plan import Node

SOURCE = "pgrst_source"
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


def read_statement(root: Node, body: str, parameters: Parameters, *, count: bool) -> str:
    """One row: how many there are in all (null unless `count`), how many are in the answer, and the answer."""
    total, counted = "null::bigint", NOTHING
    if count:
        total = "(select count(*) from pgrst_count)"
        counted = f", pgrst_count as ({count_query(root, parameters)})"
    return (
        f"with pgrst_source as ({select_query(root, parameters)}){counted}"
        f" select {total}, count(_postgrest_t), {BODIES[body]}"
        " from (select * from pgrst_source) _postgrest_t"
    )


def select_query(
    node: Node,
    parameters: Parameters,
    source: str | None = None,
    parent: Fragments | None = None,
) -> str:
    """The rows of a node with what is embedded in them, from its table or from `source`."""
    fragments = Fragments(node, source or _qualifier(node), parameters)
    wanted = [fragments.selected(column) for column in node.columns]
    wanted += [_shown(child) for child in node.children if child.columns or child.children]
    if not wanted and not node.children and node.relationship is not None:
        wanted = [fragments.column("*")]
    return "select {wanted} from {source}{joins}{where}{order}{limit}".format(
        wanted=", ".join(wanted),
        source=source or _from(node),
        joins="".join(_joined(child, parameters, fragments) for child in node.children),
        where=_where(node, fragments, _on(node, fragments, parent)),
        order=fragments.order(node.level.order),
        limit=_range(node, parameters),
    )


def count_query(node: Node, parameters: Parameters, parent: Fragments | None = None) -> str:
    """A row for each that there would be without a limit. Inner joins are conditions here."""

    def exists(child: Node) -> str:
        return f"exists ({count_query(child, parameters, fragments)})"

    fragments = Fragments(node, _qualifier(node), parameters, exists)
    inner = [exists(child) for child in node.children if child.is_inner]
    where = _where(node, fragments, [*_on(node, fragments, parent), *inner])
    return f"select 1 from {_from(node)}{where}"


def _qualifier(node: Node) -> str:
    return identifier(node.alias) if node.alias else table_name(node.table)


def _from(node: Node) -> str:
    found = table_name(node.table)
    if node.alias:
        found = f"{found} as {identifier(node.alias)}"
    junction = node.relationship.junction if node.relationship else None
    return f"{found}, {identifier(SCHEMA, junction.table)}" if junction else found


def _where(node: Node, fragments: Fragments, extra: list[str]) -> str:
    parts = [fragments.condition(member) for member in node.level.where] + extra
    return " where {}".format(" and ".join(parts)) if parts else NOTHING


def _on(node: Node, fragments: Fragments, parent: Fragments | None) -> list[str]:
    """What makes a row of an embedded table one of its parent's."""
    if node.relationship is None or parent is None:
        return []
    equal = "{} = {}"
    junction = node.relationship.junction
    if junction is None:
        return [equal.format(parent.column(own), fragments.column(other)) for own, other in node.relationship.columns]
    table = (SCHEMA, junction.table)
    here: list[str] = [equal.format(parent.column(own), identifier(*table, column)) for own, column in junction.source]
    return here + [equal.format(fragments.column(own), identifier(*table, column)) for own, column in junction.target]


def _shown(child: Node) -> str:
    aggregate, name = identifier(child.aggregate), identifier(child.name)
    if child.is_spread:
        return f"{aggregate}.*"
    if child.relationship is not None and child.relationship.is_to_one:
        return f"row_to_json({aggregate}.*) as {name}"
    return f"coalesce({aggregate}.{aggregate}, '[]') as {name}"


def _joined(child: Node, parameters: Parameters, parent: Fragments) -> str:
    aggregate = identifier(child.aggregate)
    rows = select_query(child, parameters, parent=parent)
    condition = "true"
    if child.relationship is not None and not child.relationship.is_to_one:
        rows = f"select {_aggregated(child, aggregate)} from ({rows}) as {aggregate}"
        if child.is_inner:
            condition = f"{aggregate} is not null"
    kind = "inner" if child.is_inner else "left"
    return f" {kind} join lateral ({rows}) as {aggregate} on {condition}"


def _aggregated(child: Node, aggregate: str) -> str:
    """All rows as one list; spread, each column as a list of its own."""
    if not child.is_spread:
        return f"json_agg({aggregate}) as {aggregate}"
    names: list[str] = []
    for column in child.columns:
        names += list(child.table.columns) if column.field.name == "*" else [column.alias or column.field.name]
    names += [inner.name for inner in child.children]
    listed = "coalesce(json_agg({0}.{1}), '[]') as {1}"
    return ", ".join(listed.format(aggregate, identifier(name)) for name in names)


def _range(node: Node, parameters: Parameters) -> str:
    limit, offset = node.level.limit, node.level.offset
    found = NOTHING if limit is None else f" limit {parameters.add(limit)}"
    return f"{found} offset {parameters.add(offset)}" if offset else found
