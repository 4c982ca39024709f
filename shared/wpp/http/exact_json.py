"""JSON in and out without changing a number on the way.

A row's `settings` are read, changed and written back whole, with everything in it that is not ours. PostgreSQL keeps numbers
of any size and precision, and Python's floats do not: those travel as the text they came as.
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass
from typing import Any

_LONGEST_INT = 4000  # digits; Python refuses to read 300 more
_MARK = secrets.token_hex(16)  # nobody can store a text that looks like one of our marks
_MARKED = re.compile(rf'"{_MARK}([-+.0-9eE]+)"')


@dataclass(frozen=True)
class Verbatim:
    """A number that Python cannot hold exactly."""

    text: str


def loads(text: bytes | str) -> Any:
    """Raises ValueError, RecursionError."""
    return json.loads(text, parse_float=_float, parse_int=_int, parse_constant=_refuse)


def dumps(value: Any) -> bytes:
    return _MARKED.sub(r"\1", json.dumps(value, separators=(",", ":"), default=_marked)).encode()


def _float(text: str) -> float | Verbatim:
    number = float(text)
    return number if repr(number) == text else Verbatim(text)


def _int(text: str) -> int | Verbatim:
    return int(text) if len(text) <= _LONGEST_INT else Verbatim(text)


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _marked(value: Any) -> str:
    if isinstance(value, Verbatim):
        return _MARK + value.text
    raise TypeError(f"{type(value).__name__} is not JSON")
