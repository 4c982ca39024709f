"""The grammar of `select`: columns, casts, aliases, and embedded tables with columns of their own.

https://docs.postgrest.org/en/v14/references/api/resource_embedding.html
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

from emulator.supabase.postgrest.errors import PostgrestError
from emulator.supabase.postgrest.grammar import parse_field
from emulator.supabase.postgrest.query import Embedded, Field, Join, Selected

if TYPE_CHECKING:
    from emulator.supabase.postgrest.scanner import Scanner

_CAST = re.compile(r"::([\w $]+)")
_ALIAS_END = re.compile(r":(?!:)")
_AGGREGATE = re.compile(r"(?:\.|(?<![\w)]))(?:avg|count|max|min|sum)\(\)")


def parse_select(scanner: Scanner) -> tuple[tuple[Selected, ...], tuple[Embedded, ...]]:
    """Up to the end, or to the parenthesis that closes an embedded table's."""
    columns: list[Selected] = []
    embedded: list[Embedded] = []
    scanner.spaces()
    if scanner.at_end or scanner.rest.startswith(")"):
        return (), ()
    while True:
        item = _relation(scanner) or _column(scanner)
        if isinstance(item, Embedded):
            embedded.append(item)
        else:
            columns.append(item)
        scanner.spaces()
        if not scanner.skip(","):
            break
        scanner.spaces()
    return tuple(columns), tuple(embedded)


def _relation(scanner: Scanner) -> Embedded | None:
    """None, and nothing is read, where no parenthesis follows: that is a column."""
    start = scanner.position
    try:
        is_spread = scanner.skip("...")
        alias = None if is_spread else _alias(scanner)
        relation = scanner.name()
        hint: str | None = None
        join: Join | None = None
        while scanner.skip("!"):
            word = scanner.name()
            if word in ("inner", "left"):
                join = cast("Join", word)
            else:
                hint = word
    except PostgrestError:
        scanner.position = start
        return None
    if scanner.rest.startswith("()") and relation in ("count", "avg", "sum", "min", "max"):
        scanner.position = start
        return None
    if not scanner.skip("("):
        if is_spread or hint or join:
            raise scanner.error('"("')
        scanner.position = start
        return None
    columns, embedded = parse_select(scanner)
    scanner.require(")")
    return Embedded(relation, alias, hint, join, is_spread, columns, embedded)


def _alias(scanner: Scanner) -> str | None:
    start = scanner.position
    name = scanner.name()
    if scanner.take(_ALIAS_END):
        return name
    scanner.position = start
    return None


def _column(scanner: Scanner) -> Selected:
    if scanner.skip("*"):
        return Selected(Field("*"))
    alias = _alias(scanner)
    if scanner.take(_AGGREGATE):
        raise PostgrestError(400, "PGRST123", "Use of aggregate functions is not allowed")
    field = parse_field(scanner)
    if scanner.take(_AGGREGATE):
        raise PostgrestError(400, "PGRST123", "Use of aggregate functions is not allowed")
    cast_to = scanner.take(_CAST)
    if not scanner.at_end and scanner.rest[0] not in ",)":
        raise scanner.error('letter, digit, "-", "->>", "->", "::", ")", "," or end of input')
    return Selected(field, alias or field.shown_as, cast_to[1].strip() if cast_to else None)
