"""Takes a number out of use: stops its session and deactivates its row, the latter also where the platform refuses the stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from wpp.errors import KeyRefused, SessionGone, UpstreamRefused, WppError
from wpp.platform.state import State
from wpp.provisioning.client import stored_client
from wpp.provisioning.disconnect import disconnect_row
from wpp.provisioning.record import record_of
from wpp.provisioning.recovery import KEY_DOUBT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wpp.runtime import Invocation
    from wpp.supabase.rows import Integration

Result = Literal["retired", "retired before", "not stopped", "not retired"]


class Retirement(NamedTuple):
    row: Integration
    result: Result
    problem: str | None = None
    may_succeed_later: bool = False


def retire(invocation: Invocation, row: Integration, others: Iterable[Integration] = ()) -> Retirement:
    """`others` are rows of the same organization: a session that one in use has too goes on.

    Raises nothing but what is unforeseen: of several numbers, each is tried.
    """
    record, sharer = record_of(row), _in_use_with_the_session_of(row, others)
    try:
        if record.is_disconnected and not row.is_active and (sharer or _is_stopped(invocation, row)):
            return Retirement(row, "retired before")
        row = _disconnected(invocation, row, stops=sharer is None)
    except WppError as error:
        return Retirement(row, "not retired", str(error), may_succeed_later=error.retryable)
    if invocation.warnings:
        return Retirement(row, "not stopped", "; ".join(invocation.warnings))
    if record_of(row).credentials is None:
        problem = (
            f"its creation was not finished: if the platform has a client {record.platform_id}, it was not stopped"
        )
        return Retirement(row, "not stopped", problem)
    return Retirement(row, "retired", f"its session goes on: row {sharer.id} has it too" if sharer else None)


def _in_use_with_the_session_of(row: Integration, others: Iterable[Integration]) -> Integration | None:
    credentials = record_of(row).credentials
    for other in others:
        record = record_of(other)
        is_in_use = other.is_active and not record.is_disconnected
        if other.id == row.id or not is_in_use or credentials is None or record.credentials is None:
            continue
        if record.credentials.session == credentials.session:
            return other
    return None


def _is_stopped(invocation: Invocation, row: Integration) -> bool:
    """Whether the platform says so of a number that was disconnected before: its stop may have been refused then."""
    if record_of(row).credentials is None:
        return False
    try:
        return stored_client(invocation, row).platform.status().state is State.ENDED
    except KeyRefused:
        return False
    except SessionGone:
        return True


def _disconnected(invocation: Invocation, row: Integration, *, stops: bool) -> Integration:
    try:
        return disconnect_row(invocation, row, stops=stops)
    except UpstreamRefused:  # not believed at once
        invocation.upstream.deadline.sleep(KEY_DOUBT, "asking the platform again")
        return disconnect_row(invocation, row, though_refused=True, stops=stops)
