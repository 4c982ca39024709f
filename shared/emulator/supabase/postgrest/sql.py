"""A parsed query as SQL with parameters, checked against the schema."""

from __future__ import annotations

import json
from typing import Any

from emulator.supabase.database import TABLES, ColumnType, stored
from emulator.supabase.postgrest.errors import PostgrestError, parse_error, unknown_column
from emulator.supabase.postgrest.query import Condition, Field, Group, Node, split

_COMPARISONS = {"eq": "=", "neq": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_IS = {"null": "is null", "true": "= 1", "false": "= 0", "unknown": "is null"}


def column_type(table: str, column: str) -> ColumnType:
    kind = TABLES[table].get(column)
    if kind is None:
        raise unknown_column(table, column)
    return kind


def expression(table: str, field: Field) -> str:
    kind = column_type(table, field.column)
    if not field.path:
        return field.column
    if kind != "jsonb":
        raise PostgrestError(400, "42883", f"operator does not exist: {kind} -> unknown")
    path = "$" + "".join(f'."{_clean(key)}"' for key in field.path)
    extracted = f"json_extract({field.column}, '{path}')"
    # PostgreSQL's ->> gives booleans as words, SQLite as numbers.
    words = f"case json_type({field.column}, '{path}') when 'true' then 'true' when 'false' then 'false'"
    return f"{words} else cast({extracted} as text) end"


def where(table: str, conditions: list[Condition | Group]) -> tuple[str, list[Any]]:
    parameters: list[Any] = []
    parts = [_condition(table, condition, parameters) for condition in conditions]
    return " and ".join(parts) or "true", parameters


def order_and_range(node: Node) -> str:
    text = ", ".join(f"{expression(node.relation, field)} {direction}" for field, direction in node.order)
    limit = -1 if node.limit is None else node.limit
    return (f" order by {text}" if text else "") + f" limit {limit} offset {node.offset}"


def _condition(table: str, condition: Condition | Group, parameters: list[Any]) -> str:
    if isinstance(condition, Group):
        word = " or " if condition.any_of else " and "
        sql = "(" + word.join(_condition(table, member, parameters) for member in condition.members) + ")"
    else:
        sql = _comparison(table, condition, parameters)
    return f"not ({sql})" if condition.negated else sql


def _comparison(table: str, condition: Condition, parameters: list[Any]) -> str:
    left = expression(table, condition.field)
    operator, value = condition.operator, condition.value
    kind: ColumnType = "text" if condition.field.path else column_type(table, condition.field.column)
    if operator == "is":
        if value not in _IS:
            raise parse_error(f"is.{value}")
        return f"{left} {_IS[value]}"
    if operator in ("like", "ilike"):
        parameters.append(value.replace("*", "%"))
        return f"{left} like ?"
    if operator == "in":
        values = [_typed(item.strip('"'), kind) for item in split(value[1:-1])]
        parameters.extend(values)
        return f"{left} in ({', '.join('?' * len(values))})"
    if operator == "cs":
        return _contains(table, condition, parameters)
    parameters.append(_typed(value, kind))
    return f"{left} {_COMPARISONS[operator]} ?"


def _contains(table: str, condition: Condition, parameters: list[Any]) -> str:
    wanted = json.loads(condition.value)
    parts = []
    for key, value in wanted.items():
        parts.append(f"{expression(table, Field(condition.field.column, (key,), True))} = ?")
        parameters.append(value if isinstance(value, str) else json.dumps(value))
    return "(" + " and ".join(parts or ["true"]) + ")"


def _typed(text: str, kind: ColumnType) -> Any:
    try:
        if kind == "jsonb":
            return json.dumps(json.loads(text), separators=(",", ":"))
        return stored(text, kind)
    except ValueError as error:
        raise PostgrestError(400, "22P02", str(error)) from error


def _clean(key: str) -> str:
    if not key.replace("_", "").isalnum():
        raise parse_error(f"json path {key!r}")
    return key
