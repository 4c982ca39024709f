"""Fragments of SQL: fields, conditions, orders. Names are quoted as identifiers, and every value is a parameter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from emulator.supabase.postgrest.plan import embedded_condition
from emulator.supabase.postgrest.query import Condition, Group
from emulator.supabase.postgrest.schema import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from emulator.supabase.postgrest.plan import Node
    from emulator.supabase.postgrest.query import Field, Operation, Order, Selected
    from emulator.supabase.postgrest.schema import Table

_OPERATORS = {
    "eq": "=",
    "neq": "<>",
    "gt": ">",
    "gte": ">=",
    "lt": "<",
    "lte": "<=",
    "like": "like",
    "ilike": "ilike",
    "match": "~",
    "imatch": "~*",
    "cs": "@>",
    "cd": "<@",
    "ov": "&&",
    "sl": "<<",
    "sr": ">>",
    "nxr": "&<",
    "nxl": "&>",
    "adj": "-|-",
}
_FULL_TEXT = {
    "fts": "to_tsquery",
    "plfts": "plainto_tsquery",
    "phfts": "phraseto_tsquery",
    "wfts": "websearch_to_tsquery",
}
_IS = {"null": "null", "not_null": "not null", "true": "true", "false": "false", "unknown": "unknown"}
_JSON_TYPES = ("json", "jsonb")
NOTHING = sql.SQL("")


class Parameters(dict[str, object]):
    """The values of one statement, by the names of their placeholders."""

    def add(self, value: object) -> sql.Placeholder:
        name = f"p{len(self)}"
        self[name] = value
        return sql.Placeholder(name)


def identifier(*names: str) -> sql.Composable:
    # PostgreSQL would cut a name off at a NUL. A percent sign is the placeholders' own: psycopg wants it twice.
    return sql.Identifier(*(name.split("\0")[0].replace("%", "%%") for name in names))


def table_name(table: Table) -> sql.Composable:
    return identifier(SCHEMA, table.name)


def join(separator: str, parts: Iterable[sql.Composable]) -> sql.Composable:
    return sql.SQL(separator).join(list(parts))


class Fragments:
    """For one table in one statement: `qualifier` is what its columns are prefixed with.

    `exists` says whether an embedded table has rows, for a statement that does not join it.
    """

    def __init__(
        self,
        node: Node,
        qualifier: sql.Composable,
        parameters: Parameters,
        exists: Callable[[Node], sql.Composable] | None = None,
    ) -> None:
        self._node = node
        self._qualifier = qualifier
        self._parameters = parameters
        self._exists = exists

    def column(self, name: str) -> sql.Composable:
        return sql.SQL("{}.{}").format(self._qualifier, sql.SQL("*") if name == "*" else identifier(name))

    def field(self, field: Field, qualifier: sql.Composable | None = None) -> sql.Composable:
        column = self.column(field.name) if qualifier is None else _member(qualifier, field.name)
        if not field.path:
            return column
        known = self._node.table.columns.get(field.name)
        if known is not None and known.type not in _JSON_TYPES:
            column = sql.SQL("to_jsonb({})").format(column)
        for arrow in field.path:
            operand = self._parameters.add(arrow.key)
            step = "{}->>{}" if arrow.as_text else "{}->{}"
            column = sql.SQL(step + ("::int" if arrow.is_index else "")).format(column, operand)
        return column

    def selected(self, column: Selected) -> sql.Composable:
        found = self.field(column.field)
        if column.cast is not None:
            # A type is words, not an identifier ("double precision"); the grammar lets only letters, digits, _ and $ in.
            found = sql.SQL("cast({} as {})").format(found, sql.SQL(column.cast))
        if column.alias is None:
            return found
        return sql.SQL("{} as {}").format(found, identifier(column.alias))

    def where(self, conditions: Iterable[Condition | Group]) -> sql.Composable:
        """` where …`, or nothing."""
        parts = [self.condition(member) for member in conditions]
        return sql.SQL(" where {}").format(join(" and ", parts)) if parts else NOTHING

    def condition(self, member: Condition | Group) -> sql.Composable:
        if isinstance(member, Group):
            inner = join(" or " if member.any_of else " and ", (self.condition(one) for one in member.members))
            found: sql.Composable = sql.SQL("({})").format(inner)
        else:
            found = self._condition(member)
        return sql.SQL("not {}").format(found) if member.negated else found

    def order(self, terms: Iterable[Order]) -> sql.Composable:
        parts = [self._order(term) for term in terms]
        return sql.SQL(" order by {}").format(join(", ", parts)) if parts else NOTHING

    def _order(self, term: Order) -> sql.Composable:
        child = self._node.child(term.relation) if term.relation else None
        field = self.field(term.field, identifier(child.aggregate)) if child else self.field(term.field)
        return sql.SQL("{} " + f"{term.direction} {term.nulls}").format(field)

    def _condition(self, condition: Condition) -> sql.Composable:
        child = embedded_condition(self._node, condition)
        if child is not None:
            wanted = condition.operation.value == "not_null"
            if self._exists is not None:
                return sql.SQL("{}" if wanted else "not {}").format(self._exists(child))
            return sql.SQL("({} is " + ("" if wanted else "not ") + "distinct from null)").format(
                identifier(child.aggregate)
            )
        return sql.SQL("({})").format(self._compared(self.field(condition.field), condition.operation))

    def _compared(self, left: sql.Composable, operation: Operation) -> sql.Composable:
        operator, value = operation.operator, operation.value
        if operator == "is":
            return sql.SQL("{} is " + _IS[str(value)]).format(left)
        if operator == "in":
            # One parameter however long the list; an array may be empty, which a list of SQL may not.
            values = () if value == ("",) else value
            return sql.SQL("{} = any ({})").format(left, self._parameters.add(_array(values)))
        if operator == "isdistinct":
            return sql.SQL("{} is distinct from {}").format(left, self._parameters.add(value))
        if operator in _FULL_TEXT:
            return self._searched(left, operation)
        if operator in ("like", "ilike"):
            value = str(value).replace("*", "%")
        right: sql.Composable = self._parameters.add(value)
        if operation.quantifier is not None:
            right = sql.SQL(operation.quantifier + "({})").format(right)
        return sql.SQL("{} " + _OPERATORS[operator].replace("%", "%%") + " {}").format(left, right)

    def _searched(self, left: sql.Composable, operation: Operation) -> sql.Composable:
        query = self._parameters.add(operation.value)
        function = _FULL_TEXT[operation.operator]
        if operation.language is None:
            return sql.SQL("to_tsvector({}) @@ " + function + "({})").format(left, query)
        language = self._parameters.add(operation.language)
        searched = "to_tsvector({}, {}) @@ " + function + "({}, {})"
        return sql.SQL(searched).format(language, left, language, query)


def _member(qualifier: sql.Composable, name: str) -> sql.Composable:
    return sql.SQL("{}.{}").format(qualifier, identifier(name))


def _array(values: Iterable[str]) -> str:
    """As a literal of PostgreSQL's: what its elements are, the column decides."""
    quoted = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return "{" + ",".join(f'"{value}"' for value in quoted) + "}"
