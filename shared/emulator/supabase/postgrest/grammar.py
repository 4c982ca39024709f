"""The grammar of fields, of filters, of `and`/`or` and of `order`.

https://docs.postgrest.org/en/v14/references/api/tables_views.html
"""

from __future__ import annotations

import re
from typing import cast

from emulator.supabase.postgrest.query import (
    Arrow,
    Condition,
    Field,
    Group,
    Operation,
    Order,
    Quantifier,
)
from emulator.supabase.postgrest.scanner import NAME_EXPECTED, Scanner

QUANTIFIABLE = ("eq", "gte", "gt", "lte", "lt", "like", "ilike", "match", "imatch")
_SIMPLE = ("neq", "cs", "cd", "ov", "sl", "sr", "nxr", "nxl", "adj")
_ARROW = re.compile(r"->>?")
_INDEX = re.compile(r"([+-]?\d+)(?=->|::|\.|,|\)|$)")
_OPERATOR = re.compile(rf"({'|'.join((*QUANTIFIABLE, *_SIMPLE))})(?:\((any|all)\))?\.")
_FULL_TEXT = re.compile(r"(fts|plfts|phfts|wfts)(?:\(([\w $]+)\))?\.")
_IS = re.compile(r"null|not_null|unknown|true|false", re.IGNORECASE)
_PG_ARRAY = re.compile(r"\{[^{}]*\}")
_ANYTHING = re.compile(r".*", re.DOTALL)
_LOGIC_VALUE = re.compile(r"[^,)]*")
_LOGIC_OPERATOR = re.compile(r"and|or")
_MODIFIER = re.compile(r"\.(asc|desc|nullsfirst|nullslast)(?=[.,]|$)")


def parse_field(scanner: Scanner) -> Field:
    scanner.spaces()
    name = scanner.name()
    path = []
    while arrow := scanner.take(_ARROW):
        index = scanner.take(_INDEX)
        path.append(Arrow(index[1] if index else scanner.name(), arrow[0] == "->>", index is not None))
    scanner.spaces()
    return Field(name, tuple(path))


def parse_operation(scanner: Scanner, *, in_logic: bool = False) -> tuple[bool, Operation]:
    """Whether it is negated, and the operation: up to the end, or to the comma or parenthesis after it."""
    start = scanner.position
    negated = scanner.skip("not.")
    if scanner.skip("in."):
        return negated, Operation("in", _list(scanner))
    if scanner.skip("is."):
        word = scanner.take(_IS)
        if word is None:
            raise scanner.error("isVal: (null, not_null, true, false, unknown)")
        return negated, Operation("is", word[0].lower())
    if scanner.skip("isdistinct."):
        return negated, Operation("isdistinct", _value(scanner, in_logic=in_logic))
    if match := scanner.take(_FULL_TEXT):
        return negated, Operation(match[1], _value(scanner, in_logic=in_logic), language=match[2])
    if (match := scanner.take(_OPERATOR)) and (match[2] is None or match[1] in QUANTIFIABLE):
        quantifier = cast("Quantifier | None", match[2])
        return negated, Operation(match[1], _value(scanner, in_logic=in_logic), quantifier)
    scanner.position = scanner.position if negated else start
    raise scanner.error("operator (eq, gt, ...)" if negated else '"not" or operator (eq, gt, ...)')


def _list(scanner: Scanner) -> tuple[str, ...]:
    scanner.spaces()
    scanner.require("(")
    scanner.spaces()
    values = []
    while True:
        values.append(_element(scanner))
        if not scanner.skip(","):
            break
    scanner.spaces()
    scanner.require(")")
    scanner.spaces()
    return tuple(values)


def _element(scanner: Scanner) -> str:
    """Quoted, or else up to the next comma or parenthesis."""
    start = scanner.position
    quoted = scanner.quoted()
    if quoted is not None and (scanner.at_end or scanner.rest[0] in ",)"):
        return quoted
    scanner.position = start
    match = scanner.take(_LOGIC_VALUE)
    return match[0] if match else ""


def _value(scanner: Scanner, *, in_logic: bool) -> str:
    array = scanner.take(_PG_ARRAY) if in_logic else None
    if array:
        return array[0]
    if in_logic:
        return _element(scanner)
    match = scanner.take(_ANYTHING)
    return match[0] if match else ""


def parse_logic(scanner: Scanner) -> Group:
    """`and(…,…)`, `or(…,…)`, with `not.` before it or not."""
    found = _logic(scanner)
    scanner.require_end('","')
    if isinstance(found, Condition):
        raise scanner.failure("expecting logic operator (and, or)")
    return found


def _logic(scanner: Scanner) -> Condition | Group:
    start = scanner.position
    scanner.spaces()
    negated = scanner.skip("not.")
    operator = scanner.take(_LOGIC_OPERATOR)
    if operator:
        scanner.spaces()
    if operator is None or not scanner.skip("("):
        if negated:
            raise scanner.error("logic operator (and, or)" if operator is None else '"("')
        scanner.position = start
        return _logic_condition(scanner)
    members = []
    while True:
        members.append(_logic(scanner))
        scanner.spaces()
        if not scanner.skip(","):
            break
    scanner.require(")")
    scanner.spaces()
    return Group(operator[0] == "or", tuple(members), negated)


def _logic_condition(scanner: Scanner) -> Condition:
    if scanner.at_end or scanner.rest[0] in "(),":
        raise scanner.error(f"{NAME_EXPECTED}, negation operator (not) or logic operator (and, or)")
    field = parse_field(scanner)
    scanner.require(".")
    negated, operation = parse_operation(scanner, in_logic=True)
    return Condition(field, operation, negated)


def parse_order(scanner: Scanner) -> list[Order]:
    terms = []
    while True:
        scanner.spaces()
        terms.append(_order_term(scanner))
        scanner.spaces()
        if not scanner.skip(","):
            break
    scanner.require_end('delimiter (.), ","')
    return terms


def _order_term(scanner: Scanner) -> Order:
    field = parse_field(scanner)
    relation = None
    if not field.path and scanner.skip("("):
        relation, field = field.name, parse_field(scanner)
        scanner.require(")")
    direction = nulls = ""
    while match := scanner.take(_MODIFIER):
        if match[1] in ("asc", "desc") and not direction and not nulls:
            direction = match[1]
        elif match[1].startswith("nulls") and not nulls:
            nulls = match[1].replace("nulls", "nulls ")
        else:
            scanner.position = match.start()
            break
    if scanner.skip("."):
        expected = '"nullsfirst" or "nullslast"' if direction else '"asc", "desc", "nullsfirst" or "nullslast"'
        raise scanner.error(expected)
    return Order(field, relation, direction, nulls)
