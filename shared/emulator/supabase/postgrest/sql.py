"""Fragments of SQL: fields, conditions, orders. Names are quoted as identifiers, and every value is a parameter."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
NOTHING = ""


class Parameters(dict[str, object]):
    """The values of one statement, by the names of their placeholders."""

    def add(self, value: object) -> str:
        """The placeholder of a value."""
        name = f"p{len(self)}"
        self[name] = value
        return f"%({name})s"


def quoted(text: str, mark: str) -> str:
    # A percent sign is the placeholders' own: psycopg wants it twice.
    return mark + text.replace(mark, 2 * mark).replace("%", "%%") + mark


def identifier(*names: str) -> str:
    # PostgreSQL would cut a name off at a NUL.
    return ".".join(quoted(name.split("\0")[0], '"') for name in names)


def table_name(table: Table) -> str:
    return identifier(SCHEMA, table.name)


class Fragments:
    """For one table in one statement: `qualifier` is what its columns are prefixed with.

    `exists` says whether an embedded table has rows, for a statement that does not join it.
    """

    def __init__(
        self,
        node: Node,
        qualifier: str,
        parameters: Parameters,
        exists: Callable[[Node], str] | None = None,
    ) -> None:
        self._node = node
        self._qualifier = qualifier
        self._parameters = parameters
        self._exists = exists

    def column(self, name: str) -> str:
        return f"{self._qualifier}.*" if name == "*" else _member(self._qualifier, name)

    def field(self, field: Field, qualifier: str | None = None) -> str:
        column = self.column(field.name) if qualifier is None else _member(qualifier, field.name)
        if not field.path:
            return column
        known = self._node.table.columns.get(field.name)
        if known is not None and known.type not in _JSON_TYPES:
            column = f"to_jsonb({column})"
        for arrow in field.path:
            operand = self._parameters.add(arrow.key)
            step = "->>" if arrow.as_text else "->"
            column = f"{column}{step}{operand}{'::int' if arrow.is_index else ''}"
        return column

    def selected(self, column: Selected) -> str:
        found = self.field(column.field)
        if column.cast is not None:
            # A type is words, not an identifier ("double precision"); the grammar lets only letters, digits, _ and $ in.
            found = f"cast({found} as {column.cast})"
        if column.alias is None:
            return found
        return f"{found} as {identifier(column.alias)}"

    def where(self, conditions: Iterable[Condition | Group]) -> str:
        """` where …`, or nothing."""
        parts = [self.condition(member) for member in conditions]
        return " where {}".format(" and ".join(parts)) if parts else NOTHING

    def condition(self, member: Condition | Group) -> str:
        if isinstance(member, Group):
            inner = (" or " if member.any_of else " and ").join(self.condition(one) for one in member.members)
            found = f"({inner})"
        else:
            found = self._condition(member)
        return f"not {found}" if member.negated else found

    def order(self, terms: Iterable[Order]) -> str:
        parts = [self._order(term) for term in terms]
        return " order by {}".format(", ".join(parts)) if parts else NOTHING

    def _order(self, term: Order) -> str:
        child = self._node.child(term.relation) if term.relation else None
        field = self.field(term.field, identifier(child.aggregate)) if child else self.field(term.field)
        return f"{field} {term.direction} {term.nulls}"

    def _condition(self, condition: Condition) -> str:
        child = embedded_condition(self._node, condition)
        if child is not None:
            wanted = condition.operation.value == "not_null"
            if self._exists is not None:
                return f"{'' if wanted else 'not '}{self._exists(child)}"
            return f"({identifier(child.aggregate)} is {'' if wanted else 'not '}distinct from null)"
        return f"({self._compared(self.field(condition.field), condition.operation)})"

    def _compared(self, left: str, operation: Operation) -> str:
        operator, value = operation.operator, operation.value
        if operator == "is":
            return f"{left} is {_IS[str(value)]}"
        if operator == "in":
            # One parameter however long the list; an array may be empty, which a list of SQL may not.
            values = () if value == ("",) else value
            return f"{left} = any ({self._parameters.add(_array(values))})"
        if operator == "isdistinct":
            return f"{left} is distinct from {self._parameters.add(value)}"
        if operator in _FULL_TEXT:
            return self._searched(left, operation)
        if operator in ("like", "ilike"):
            value = str(value).replace("*", "%")
        right = self._parameters.add(value)
        if operation.quantifier is not None:
            right = f"{operation.quantifier}({right})"
        return f"{left} {_OPERATORS[operator].replace('%', '%%')} {right}"

    def _searched(self, left: str, operation: Operation) -> str:
        query = self._parameters.add(operation.value)
        function = _FULL_TEXT[operation.operator]
        if operation.language is None:
            return f"to_tsvector({left}) @@ {function}({query})"
        language = self._parameters.add(operation.language)
        return f"to_tsvector({language}, {left}) @@ {function}({language}, {query})"


def _member(qualifier: str, name: str) -> str:
    return f"{qualifier}.{identifier(name)}"


def _array(values: Iterable[str]) -> str:
    """As a literal of PostgreSQL's: what its elements are, the column decides."""
    escaped = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return "{" + ",".join(f'"{value}"' for value in escaped) + "}"
