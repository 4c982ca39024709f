"""Takes a number out of use: stops its session and deactivates its row, the latter also where the platform refuses the stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from wpp.errors import UpstreamRefused, WppError
from wpp.provisioning.disconnect import disconnect_row
from wpp.provisioning.record import record_of
from wpp.provisioning.recovery import KEY_DOUBT

if TYPE_CHECKING:
    from wpp.runtime import Invocation
    from wpp.supabase.rows import Integration

Result = Literal["retired", "retired before", "not stopped", "not retired"]


class Retirement(NamedTuple):
    row: Integration
    result: Result
    problem: str | None = None
    may_succeed_later: bool = False


def retire(invocation: Invocation, row: Integration) -> Retirement:
    """Raises nothing but what is unforeseen: of several numbers, each is tried."""
    record = record_of(row)
    if record.is_disconnected and not row.is_active:
        return Retirement(row, "retired before")
    try:
        row = _disconnected(invocation, row)
    except WppError as error:
        return Retirement(row, "not retired", str(error), may_succeed_later=error.retryable)
    if invocation.warnings:
        return Retirement(row, "not stopped", "; ".join(invocation.warnings))
    if record_of(row).credentials is None:
        problem = (
            f"its creation was not finished: if the platform has a client {record.platform_id}, it was not stopped"
        )
        return Retirement(row, "not stopped", problem)
    return Retirement(row, "retired")


def _disconnected(invocation: Invocation, row: Integration) -> Integration:
    try:
        return disconnect_row(invocation, row)
    except UpstreamRefused:  # not believed at once
        invocation.upstream.deadline.sleep(KEY_DOUBT, "asking the platform again")
        return disconnect_row(invocation, row, though_refused=True)
