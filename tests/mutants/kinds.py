"""Kinds of mutants that cannot be told from the code as it is, wherever they stand."""

from __future__ import annotations

import re

_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_SAME_IN_CAPITALS = (
    (
        re.compile(r"[a-z]+(-[a-z]+)+|accept|allow|apikey|authorization|location|prefer|vary"),
        "HTTP knows no case in header names",
    ),
    (re.compile(r"utf-8|ascii|latin-1"), "Python knows no case in a codec's name"),
)


def reason(before: str, after: str) -> str | None:
    """Why nobody can notice that the lines `after` stand where those `before` did; None if somebody might."""
    pairs = list(zip(_QUOTED.findall(before), _QUOTED.findall(after), strict=False))
    changed = [one[1:-1].lower() for one, other in pairs if one != other]
    if before == after or before.lower() != after.lower() or len(changed) != 1:
        return None
    return next((reason for names, reason in _SAME_IN_CAPITALS if names.fullmatch(changed[0])), None)
