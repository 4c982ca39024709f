"""GET and HEAD."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.messages import Response
from emulator.supabase.postgrest.errors import out_of_range
from emulator.supabase.postgrest.ranges import apply_range, content_range
from emulator.supabase.postgrest.read import count_query, read_statement
from emulator.supabase.postgrest.sql import Parameters

if TYPE_CHECKING:
    from emulator.supabase.postgrest.request import Call

_COUNTS = ("exact", "estimated")


def read(call: Call) -> Response:
    level = call.node.level
    apply_range(level, call.request)
    parameters = Parameters()
    counts = call.preferences.count in _COUNTS
    statement = read_statement(call.node, call.media.body, parameters, count=counts)
    total, found, body = call.transaction.fetch(statement, parameters)
    if call.preferences.count in ("planned", "estimated"):
        total = max(total or 0, _planned(call))
    call.require_single(found)
    if total is not None and level.offset > total:
        details = f"An offset of {level.offset} was requested, but there are only {total} rows."
        raise out_of_range(details, total)
    status = 206 if total is not None and found < total else 200
    headers = content_range(level.offset, level.offset + found - 1, total)
    headers |= call.preferences.applied("count", "handling", "timezone")
    return Response(status, body.encode(), call.media.header | headers)


def _planned(call: Call) -> int:
    """How many rows PostgreSQL's planner expects."""
    parameters = Parameters()
    explained = f"explain (format json) {count_query(call.node, parameters)}"
    (plans,) = call.transaction.fetch(explained, parameters)
    return int(plans[0]["Plan"]["Plan Rows"])
