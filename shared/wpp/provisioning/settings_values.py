"""How single values of a row's `settings` are read. Others may have written anything in their place. No I/O here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from wpp.http import exact_json

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST_TIME = 2**53  # ms; beyond it a number is not a time


def without(settings: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in names}


def object_in(settings: Any) -> dict[str, Any] | None:
    if isinstance(settings, str):  # an object that was encoded twice: JSON.stringify into a jsonb column
        try:
            settings = exact_json.loads(settings)
            is_storable = "\\u0000" not in json.dumps(settings, default=str)
            json.dumps(settings, ensure_ascii=False, default=str).encode()  # fails with half a surrogate pair
        except (ValueError, RecursionError):
            return None
        if not is_storable:  # jsonb cannot hold it
            return None
    return settings if isinstance(settings, dict) else None


def whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def seconds(milliseconds: Any) -> float | None:
    """None for what cannot be a time: others may have written anything, a number beyond all floats included."""
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, (int, float)):
        return None
    return milliseconds / 1000 if abs(milliseconds) < _LONGEST_TIME else None
