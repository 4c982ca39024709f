"""POST, PATCH, PUT and DELETE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from emulator.messages import Response
from emulator.supabase.postgrest.body import read_payload
from emulator.supabase.postgrest.errors import PostgrestError
from emulator.supabase.postgrest.plan import without_conditions
from emulator.supabase.postgrest.query import Condition, Group
from emulator.supabase.postgrest.ranges import content_range
from emulator.supabase.postgrest.sql import Fragments, Parameters
from emulator.supabase.postgrest.write import INSERTED, Upsert, delete, insert, update, write_statement

if TYPE_CHECKING:
    from emulator.supabase.postgrest.body import Payload
    from emulator.supabase.postgrest.request import Call


def create(call: Call) -> Response:
    key = call.node.table.primary_key
    target = call.query.on_conflict or key
    resolution = call.preferences.resolution
    upsert = Upsert(resolution == "merge-duplicates", target) if resolution and target else None
    location = key if call.preferences.representation == "headers-only" else ()
    parameters = Parameters()
    returning = call.node.needed_columns() if call.wants_rows else list(location)
    mutation = insert(call.node.table, _payload(call), upsert, returning, parameters)
    count, body, keys = _changed(call, mutation, parameters, location)
    status = 201
    if upsert is not None and upsert.merges and _inserted(call) <= 0:
        status = 200
    headers = content_range(1, 0, count if call.preferences.count else None)
    if location and count == 1:
        headers["Location"] = _location(call, dict(zip(location, keys, strict=True)))
    resolved = ("resolution",) if upsert is not None else ()
    headers |= call.preferences.applied(*resolved, "missing", "return", "count", "handling", "timezone")
    return _answer(call, status, body, headers)


def replace_values(call: Call) -> Response:
    """PATCH."""
    parameters = Parameters()
    mutation = update(call.node, _payload(call), _returning(call), parameters)
    count, body, _ = _changed(call, mutation, parameters)
    _require_few(call, count)
    headers = content_range(0, count - 1, count if call.preferences.count else None)
    headers |= call.preferences.applied("missing", "return", "count", "handling", "timezone", "max-affected")
    return _answer(call, 200 if call.wants_rows else 204, body, headers)


def remove(call: Call) -> Response:
    """DELETE."""
    parameters = Parameters()
    count, body, _ = _changed(call, delete(call.node, _returning(call), parameters), parameters)
    _require_few(call, count)
    headers = content_range(1, 0, count if call.preferences.count else None)
    headers |= call.preferences.applied("return", "count", "handling", "timezone", "max-affected")
    return _answer(call, 200 if call.wants_rows else 204, body, headers)


def put(call: Call) -> Response:
    """An upsert of the one row that the filters name by its whole primary key."""
    key, level = call.node.table.primary_key, call.node.level
    if level.limit is not None or level.offset:
        message = "limit/offset querystring parameters are not allowed for PUT"
        raise PostgrestError(400, "PGRST114", message)
    named = [_equal_to(one) for one in level.where]
    if None in named or sorted(filter(None, named)) != sorted(key):
        message = "Filters must include all and only primary key columns with 'eq' operators"
        raise PostgrestError(405, "PGRST105", message)
    parameters = Parameters()
    body_fragments = Fragments(call.node, "pgrst_body", parameters)
    only = " and ".join([body_fragments.condition(one) for one in level.where])
    payload = _payload(call)
    mutation = insert(
        call.node.table, payload, Upsert(merges=True, target=key), _returning(call), parameters, only=only
    )
    count, body, _ = _changed(call, mutation, parameters)
    if count != 1:
        message = "Payload values do not match URL in primary key column(s)"
        raise PostgrestError(400, "PGRST115", message)
    is_new = _inserted(call) > 0
    headers = call.preferences.applied("return", "count", "handling", "timezone")
    return _answer(call, 201 if is_new else 200 if call.wants_rows else 204, body, headers)


def _payload(call: Call) -> Payload:
    defaults = call.preferences.missing == "default"
    return read_payload(call.request, call.node.table, call.query.given_columns, applies_defaults=defaults)


def _returning(call: Call) -> list[str]:
    return call.node.needed_columns() if call.wants_rows else []


def _changed(call: Call, mutation: str, parameters: Parameters, location: tuple[str, ...] = ()) -> tuple[int, str, Any]:
    """How many rows were changed, the body of the answer, and the values of `location`."""
    shown = without_conditions(call.node, keep_groups=call.or_filter_bug)
    body = call.media.body if call.wants_rows else "nothing"
    statement = write_statement(mutation, shown, body, parameters, location=location)
    count, text, keys = call.transaction.fetch(statement, parameters)
    call.require_single(count)
    return count, text, keys


def _inserted(call: Call) -> int:
    """Of an upsert that merges: rows inserted, at most 0 where all were there already."""
    (count,) = call.transaction.fetch(INSERTED, {})
    return count or 0


def _require_few(call: Call, count: int) -> None:
    most = call.preferences.max_affected
    if call.preferences.is_strict and most is not None and count > most:
        message = "Query result exceeds max-affected preference constraint"
        raise PostgrestError(400, "PGRST124", message, f"The query affects {count} rows")


def _location(call: Call, keys: dict[str, str | None]) -> str:
    values = (f"{name}={'is.null' if value is None else f'eq.{quote(value)}'}" for name, value in keys.items())
    return f"/{call.node.table.name}?{'&'.join(values)}"


def _equal_to(member: Condition | Group) -> str | None:
    """The column of a condition like `id=eq.1`, None for any other."""
    if isinstance(member, Group) or member.negated or member.field.path or member.operation.quantifier is not None:
        return None
    return member.field.name if member.operation.operator == "eq" else None


def _answer(call: Call, status: int, body: str, headers: dict[str, str]) -> Response:
    if not call.wants_rows:
        return Response(status, b"", headers)
    return Response(status, body.encode(), call.media.header | headers)
