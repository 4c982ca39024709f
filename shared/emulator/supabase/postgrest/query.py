"""A query string, parsed: which columns, which embedded tables, which rows, in which order. Syntax only."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from emulator.supabase.postgrest.errors import parse_error

OPERATORS = {"eq", "neq", "gt", "gte", "lt", "lte", "like", "ilike", "is", "in", "cs"}
_RESERVED = {"select", "order", "limit", "offset", "on_conflict", "columns", "or", "and", "not.or", "not.and"}
_FIELD = re.compile(r"([a-zA-Z_]\w*)((?:->>?[^-.,()]+)*)")
_ARROW = re.compile(r"(->>?)([^-]+)")


@dataclass(frozen=True)
class Field:
    """A column, perhaps with a path into its JSON: `settings->wppClaim->>id`."""

    column: str
    path: tuple[str, ...] = ()
    as_text: bool = False


@dataclass(frozen=True)
class Condition:
    field: Field
    operator: str
    value: str
    negated: bool = False


@dataclass(frozen=True)
class Group:
    any_of: bool
    members: tuple[Condition | Group, ...]
    negated: bool = False


@dataclass(frozen=True)
class Column:
    name: str
    field: Field | None
    """None for `*`."""


@dataclass
class Node:
    """A table with what is wanted of it."""

    name: str
    relation: str
    columns: list[Column] = field(default_factory=list)
    embedded: list[Node] = field(default_factory=list)
    where: list[Condition | Group] = field(default_factory=list)
    order: list[tuple[Field, str]] = field(default_factory=list)
    limit: int | None = None
    offset: int = 0

    def child(self, path: list[str]) -> Node:
        node = self
        for name in path:
            found = next((n for n in node.embedded if n.name == name), None)
            if found is None:
                raise parse_error(f"'{name}' is not an embedded resource in this request")
            node = found
        return node


def parse_query(table: str, query: str) -> tuple[Node, dict[str, str]]:
    """The tree of what is wanted, and the parameters that are no part of it (`on_conflict`)."""
    # parse_qsl takes `+` for a space, as PostgREST does.
    pairs = parse_qsl(query, keep_blank_values=True)
    root = parse_select(table, dict(pairs).get("select", "*"))
    rest: dict[str, str] = {}
    for key, value in pairs:
        if key in ("select", "columns"):
            continue
        if key == "on_conflict":
            rest[key] = value
        else:
            _apply(root, key, value)
    return root, rest


def parse_select(table: str, text: str) -> Node:
    node = Node(table, table)
    for item in split(text):
        name, opening, inner = item.partition("(")
        if opening:
            alias, _, relation = name.rpartition(":")
            relation = relation.split("!")[0]
            child = parse_select(relation, inner[:-1])
            child.name = alias or relation
            node.embedded.append(child)
        elif item == "*":
            node.columns.append(Column("*", None))
        else:
            alias, colon, source = item.partition(":")
            parsed = parse_field(source if colon else item)
            shown = alias if colon else (parsed.path[-1] if parsed.path else parsed.column)
            node.columns.append(Column(shown, parsed))
    return node


def parse_field(text: str) -> Field:
    match = _FIELD.fullmatch(text.strip())
    if match is None:
        raise parse_error(f"column {text!r}")
    arrows = _ARROW.findall(match[2])
    return Field(match[1], tuple(key for _, key in arrows), bool(arrows) and arrows[-1][0] == "->>")


def split(text: str) -> list[str]:
    """At the commas that are in no parentheses and no quotes."""
    parts, depth, quoted, current = [], 0, False, ""
    for character in text:
        quoted ^= character == '"'
        depth += 0 if quoted else (character == "(") - (character == ")")
        if character == "," and depth == 0 and not quoted:
            parts.append(current)
            current = ""
        else:
            current += character
    return [part.strip() for part in [*parts, current] if part.strip()]


def _apply(root: Node, key: str, value: str) -> None:
    path, name = _embedded_path(key)
    node = root.child(path)
    if name == "order":
        node.order = [_parse_order(item) for item in split(value)]
    elif name == "limit":
        node.limit = int(value)
    elif name == "offset":
        node.offset = int(value)
    elif name in _RESERVED:
        node.where.append(_parse_group(name, value))
    else:
        node.where.append(_parse_condition(name, value))


def _embedded_path(key: str) -> tuple[list[str], str]:
    for reserved in ("not.or", "not.and"):
        if key.endswith(reserved):
            return [part for part in key.removesuffix(reserved).split(".") if part], reserved
    before_json, arrow, after = key.partition("->")
    *path, name = before_json.split(".")
    return path, name + arrow + after


def _parse_order(item: str) -> tuple[Field, str]:
    name, *modifiers = item.split(".")
    direction = "desc" if "desc" in modifiers else "asc"
    # PostgreSQL has nulls last when ascending, SQLite first.
    nulls = (
        "nulls first"
        if "nullsfirst" in modifiers or (direction == "desc" and "nullslast" not in modifiers)
        else "nulls last"
    )
    return parse_field(name), f"{direction} {nulls}"


def _parse_condition(name: str, value: str) -> Condition:
    negated = value.startswith("not.")
    operator, dot, operand = value.removeprefix("not.").partition(".")
    if not dot or operator not in OPERATORS:
        raise parse_error(f"filter {value!r}")
    return Condition(parse_field(name), operator, operand, negated)


def _parse_group(name: str, value: str) -> Group:
    if not (value.startswith("(") and value.endswith(")")):
        raise parse_error(f"logic tree {value!r}")
    members = tuple(_parse_member(item) for item in split(value[1:-1]))
    return Group(name.endswith("or"), members, name.startswith("not."))


def _parse_member(item: str) -> Condition | Group:
    nested = re.fullmatch(r"((?:not\.)?(?:or|and))(\(.*\))", item)
    if nested:
        return _parse_group(nested[1], nested[2])
    name, dot, rest = item.partition(".")
    if not dot:
        raise parse_error(f"logic tree {item!r}")
    return _parse_condition(name, rest)
