"""A query resolved against the schema: which foreign key joins what is embedded."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from emulator.supabase.postgrest.errors import PostgrestError, not_embedded
from emulator.supabase.postgrest.query import Condition, Embedded, Group, Level, Order, Query, Selected
from emulator.supabase.postgrest.schema import SCHEMA

if TYPE_CHECKING:
    from emulator.supabase.postgrest.schema import Relationship, SchemaCache, Table


@dataclass
class Node:
    """One table of the answer."""

    table: Table
    alias: str | None
    """None for the root, which goes by its own name."""
    aggregate: str
    """The name of its rows in the query around it."""
    name: str
    columns: tuple[Selected, ...]
    level: Level
    children: list[Node] = field(default_factory=list)
    relationship: Relationship | None = None
    is_inner: bool = False
    is_spread: bool = False

    def child(self, name: str) -> Node | None:
        return next((node for node in self.children if name in (node.name, node.table.name)), None)

    def needed_columns(self) -> list[str]:
        """Of a change: what its rows must have for the answer; `*` for all."""
        names = [column.field.name for column in self.columns]
        if not names and not self.children:
            return ["*"]
        for node in self.children:
            if node.relationship is not None:
                junction = node.relationship.junction
                names += [own for own, _ in (junction.source if junction else node.relationship.columns)]
        names += [order.field.name for order in self.level.order if order.relation is None]
        return ["*"] if "*" in names else list(dict.fromkeys(names))


def plan(schema: SchemaCache, table: str, query: Query) -> Node:
    """Raises PostgrestError."""
    found = schema.tables.get(table)
    if found is None:
        raise PostgrestError(404, "PGRST205", f"Could not find the table '{SCHEMA}.{table}' in the schema cache")
    root = Node(found, None, table, table, query.columns, query.levels.get((), Level()))
    _embed(schema, root, query.embedded, depth=1)
    for path, level in query.levels.items():
        _find(root, path).level = level
    _check_related(root)
    return root


def _embed(schema: SchemaCache, parent: Node, embedded: tuple[Embedded, ...], depth: int) -> None:
    for number, item in enumerate(embedded):
        relationship = _relationship(schema, parent.table.name, item)
        table = schema.tables[relationship.foreign_table]
        node = Node(
            table,
            f"{table.name}_{depth}",
            f"pgrst_{depth}_{number}_{item.name}",
            item.name,
            item.columns,
            Level(),
            relationship=relationship,
            is_inner=item.join == "inner",
            is_spread=item.is_spread,
        )
        parent.children.append(node)
        _embed(schema, node, item.embedded, depth + 1)


def _relationship(schema: SchemaCache, origin: str, item: Embedded) -> Relationship:
    found = [one for one in schema.of(origin) if _is_meant(one, item.relation, item.hint)]
    if len(found) == 1:
        return found[0]
    if found:
        raise _ambiguous(origin, item.relation, found)
    using = f"' using the hint '{item.hint}" if item.hint else ""
    raise PostgrestError(
        400,
        "PGRST200",
        f"Could not find a relationship between '{origin}' and '{item.relation}' in the schema cache",
        f"Searched for a foreign key relationship between '{origin}' and '{item.relation}{using}' in the schema '{SCHEMA}', "
        "but no matches were found.",
    )


def _is_meant(relationship: Relationship, target: str, hint: str | None) -> bool:
    """A table is named, or a foreign key or its only column instead; a hint tells which of several."""
    if hint is None:
        is_key = relationship.junction is None and target == relationship.constraint
        is_column = relationship.is_to_one and [target] == [own for own, _ in relationship.columns]
        return target == relationship.foreign_table or is_key or is_column
    if target != relationship.foreign_table:
        return False
    columns = ([own for own, _ in relationship.columns], [foreign for _, foreign in relationship.columns])
    return hint == relationship.hint or [hint] in columns


def _ambiguous(origin: str, target: str, found: list[Relationship]) -> PostgrestError:
    hints = ", ".join(f"'{one.foreign_table}!{one.hint}'" for one in found)
    return PostgrestError(
        300,
        "PGRST201",
        f"Could not embed because more than one relationship was found for '{origin}' and '{target}'",
        [
            {
                "cardinality": one.cardinality,
                "embedding": f"{one.table} with {one.foreign_table}",
                "relationship": _described(one),
            }
            for one in found
        ],
        f"Try changing '{target}' to one of the following: {hints}. Find the desired relationship in the 'details' key.",
    )


def _described(one: Relationship) -> str:
    if one.junction is not None:
        first, second = one.junction.constraints
        source = ", ".join(own for _, own in one.junction.source)
        target = ", ".join(own for _, own in one.junction.target)
        return f"{one.junction.table} using {first}({source}) and {second}({target})"
    own = ", ".join(column for column, _ in one.columns)
    foreign = ", ".join(column for _, column in one.columns)
    return f"{one.constraint} using {one.table}({own}) and {one.foreign_table}({foreign})"


def _find(root: Node, path: tuple[str, ...]) -> Node:
    node = root
    for name in path:
        child = node.child(name)
        if child is None:
            raise not_embedded(name)
        node = child
    return node


def _check_related(node: Node) -> None:
    """Conditions on an embedded table as a whole, and orders by its columns, are possible only in some cases."""
    for order in node.level.order:
        _check_order(node, order)
    for member in node.level.where:
        _check_condition(node, member)
    for child in node.children:
        _check_related(child)


def _check_order(node: Node, order: Order) -> None:
    if order.relation is None:
        return
    child = node.child(order.relation)
    if child is None:
        raise not_embedded(order.relation)
    if child.relationship is None or not child.relationship.is_to_one:
        details = f"'{node.table.name}' and '{order.relation}' do not form a many-to-one or one-to-one relationship"
        raise PostgrestError(400, "PGRST118", f"A related order on '{order.relation}' is not possible", details)


def _check_condition(node: Node, member: Condition | Group) -> None:
    if isinstance(member, Group):
        for inner in member.members:
            _check_condition(node, inner)
    elif embedded_condition(node, member) and member.operation.value not in ("null", "not_null"):
        details = "Only is null or not is null filters are allowed on embedded resources"
        name = member.field.name
        raise PostgrestError(400, "PGRST120", f"Bad operator on the '{name}' embedded resource", details)


def embedded_condition(node: Node, condition: Condition) -> Node | None:
    """The embedded table that a condition like `organizations=not.is.null` is about."""
    if condition.field.path or condition.field.name in node.table.columns:
        return None
    return node.child(condition.field.name)


def without_conditions(root: Node, *, keep_groups: bool) -> Node:
    """The same for the rows that a change returns: its own statement has decided which they are."""
    kept: list[Condition | Group] = [member for member in root.level.where if keep_groups and isinstance(member, Group)]
    return replace(root, level=replace(root.level, where=kept, limit=None, offset=0))
