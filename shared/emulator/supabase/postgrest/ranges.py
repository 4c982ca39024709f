"""Which part of the rows is wanted, and which part the answer has."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from emulator.supabase.postgrest.errors import out_of_range

if TYPE_CHECKING:
    from emulator.messages import Request
    from emulator.supabase.postgrest.query import Level

_RANGE = re.compile(r"(\d+)-(\d*)")


def apply_range(level: Level, request: Request) -> None:
    """The `Range` header, within what `limit` and `offset` leave. Raises PostgrestError."""
    if level.limit is not None and level.limit < 0:
        raise out_of_range("Limit should be greater than or equal to zero.")
    match = _RANGE.fullmatch(request.headers.get("range", "")) if request.method == "GET" else None
    if match is None:
        return
    first, last = int(match[1]), int(match[2]) if match[2] else None
    if last is not None and last < first:
        raise out_of_range("The lower boundary must be lower than or equal to the upper boundary in the Range header.")
    ends = [end for end in (last, None if level.limit is None else level.offset + level.limit - 1) if end is not None]
    level.offset = max(level.offset, first)
    level.limit = max(min(ends) - level.offset + 1, 0) if ends else None


def content_range(first: int, last: int, total: int | None) -> dict[str, str]:
    """`0-24/573`, or `*/573` where there are no rows, with `*` for a total that was not counted."""
    rows = f"{first}-{last}" if first <= last and total != 0 else "*"
    return {"Content-Range": f"{rows}/{'*' if total is None else total}"}
