"""A whole query string: its parameters, sorted into what each asks for."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import unquote_plus

from emulator.supabase.postgrest.grammar import (
    parse_field,
    parse_logic,
    parse_operation,
    parse_order,
)
from emulator.supabase.postgrest.query import Condition, Embedded, Query, Selected
from emulator.supabase.postgrest.scanner import Scanner
from emulator.supabase.postgrest.selection import parse_select

_INTEGER = re.compile(r"\s*-?\d+\s*")


def parse_query(text: str) -> Query:
    """Raises PostgrestError."""
    parameters = _parameters(text)
    given = dict(reversed(parameters))  # the first of several counts
    query = Query(*_selected(given.get("select", "*")))
    if "on_conflict" in given:
        query.on_conflict = _names(Scanner(given["on_conflict"], "on_conflict parameter"))
    if "columns" in given:
        query.given_columns = _names(Scanner(given["columns"], "columns parameter"))
    for key, value in parameters:
        if key not in ("select", "columns", "on_conflict"):
            _apply(query, key, value)
    return query


@lru_cache  # a client asks for the same columns again and again
def _selected(text: str) -> tuple[tuple[Selected, ...], tuple[Embedded, ...]]:
    scanner = Scanner(text, "select parameter")
    selected = parse_select(scanner)
    scanner.require_end('","')
    return selected


def _parameters(text: str) -> list[tuple[str, str]]:
    """Those with a value. `+` is a space, and `;` separates as `&` does."""
    pairs = [part.partition("=") for part in re.split("[&;]", text)]
    return [(unquote_plus(key), unquote_plus(value)) for key, equals, value in pairs if equals]


def _names(scanner: Scanner) -> tuple[str, ...]:
    names = [scanner.name()]
    scanner.spaces()
    while scanner.skip(","):
        scanner.spaces()
        names.append(scanner.name())
        scanner.spaces()
    scanner.require_end('","')
    return tuple(names)


def _apply(query: Query, key: str, value: str) -> None:
    word = key.rpartition(".")[2]
    if word in ("and", "or"):
        path = _path(key)
        negated = "not." if "not" in path else ""
        scanner = Scanner(f"{negated}{word}{value}", "logic tree", value)
        query.level(tuple(name for name in path[:-1] if name != "not")).where.append(parse_logic(scanner))
    elif word == "order":
        query.level(_path(key)[:-1]).order = parse_order(Scanner(value, "order"))
    elif word == "limit":
        query.level(_path(key)[:-1]).limit = int(value) if _INTEGER.fullmatch(value) else None
    elif word == "offset":
        query.level(_path(key)[:-1]).offset = int(value) if _INTEGER.fullmatch(value) else 0
    else:
        _apply_filter(query, key, value)


def _apply_filter(query: Query, key: str, value: str) -> None:
    scanner = Scanner(key, "tree path")
    path = []
    field = parse_field(scanner)
    while scanner.skip("."):
        path.append(field.name)
        field = parse_field(scanner)
    negated, operation = parse_operation(Scanner(value, "filter"))
    query.level(tuple(path)).where.append(Condition(field, operation, negated))


def _path(key: str) -> tuple[str, ...]:
    scanner = Scanner(key, "tree path")
    names = [scanner.name()]
    while scanner.skip("."):
        names.append(scanner.name())
    return tuple(names)
