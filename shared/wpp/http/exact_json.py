"""JSON in and out without changing a number on the way.

A row's `settings` are read, changed and written back whole, with everything in it that is not ours. PostgreSQL keeps numbers
of any size and precision, and Python's floats do not: those travel as the text they came as.
"""

from __future__ import annotations

import json
import re
from typing import Any

_MARK = "\x00"  # jsonb cannot hold it, so nothing that is stored begins like this
_LONGEST_INT = 4000  # digits; Python refuses to read 300 more
_VERBATIM = re.compile(r'"\\u0000([-+.0-9eE]+)"')


def loads(text: bytes | str) -> Any:
    """Raises ValueError, RecursionError."""
    return json.loads(text, parse_float=_float, parse_int=_int)


def dumps(value: Any) -> bytes:
    return _VERBATIM.sub(r"\1", json.dumps(value, separators=(",", ":"))).encode()


def _float(text: str) -> float | str:
    number = float(text)
    return number if repr(number) == text else _MARK + text


def _int(text: str) -> int | str:
    return int(text) if len(text) <= _LONGEST_INT else _MARK + text
