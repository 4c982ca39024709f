"""What is wrong with a number: its row, against what the platform says about its session. No I/O here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from wpp.platform.state import State
from wpp.provisioning.decide import restart_is_due
from wpp.provisioning.number import primary_number
from wpp.provisioning.settling import seconds_left

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wpp.platform.state import SessionState
    from wpp.provisioning.record import Record

Kind = Literal[
    "row_unreadable", "two_primaries", "claim_dead", "unfinished", "webhook_pending", "webhook_outdated", "key_refused",
    "session_lost", "session_stuck", "session_ended", "session_blocked", "phone_unlinked", "pairing_not_noted",
    "not_examined",
]  # fmt: skip


class Finding(NamedTuple):
    kind: Kind
    text: str


def is_in_use(record: Record, *, is_active: bool) -> bool:
    """Whether the number shall be connected. One that was disconnected, or that somebody else deactivated, is left alone."""
    if record.is_disconnected:
        return False
    return is_active or (record.credentials is None and _was_begun(record))


def _was_begun(record: Record) -> bool:
    """Whether it was us who began the row of a number without credentials: rows of ours are inactive until there are some.

    One that had some, which others have removed, was finished.
    """
    if record.key_issued_at is not None or record.webhook_hash is not None:
        return False
    is_derived = record.row_id == primary_number(record.organization_id).row_id
    has_traces = record.claim or record.failure or record.is_further_number or "wppIdempotencyKey" in record.settings
    return is_derived or bool(has_traces)


def dead_claim(record: Record) -> Iterator[Finding]:
    if record.claim:
        yield Finding("claim_dead", f"nobody is at work any more under the claim to {record.claim.doing}")


def of_row(record: Record, webhook_hash: str) -> Iterator[Finding]:
    """Of a number in use. `webhook_hash` is of the address that the platform should have."""
    if record.credentials is None:
        yield Finding("unfinished", "its client was not created, or its key not saved")
    elif record.webhook_pending:
        yield Finding("webhook_pending", "the webhook is not registered yet")
    elif record.webhook_hash != webhook_hash:
        yield Finding("webhook_outdated", "the webhook is not known to have the address of WPP_WEBHOOK_URL")


def of_session(record: Record, state: SessionState, now: float, restart_after: float) -> Iterator[Finding]:
    """Of a number in use, from the state that the platform reports. `now` in seconds since 1970, `restart_after` in seconds."""
    match state.state:
        case State.CONNECTED | State.PAIRING if not record.was_paired:
            yield Finding("pairing_not_noted", "a phone is linked, and the row does not say so")
        case State.ENDED if record.was_paired and seconds_left(record, now) <= 0:
            yield Finding("session_ended", "a phone was linked, and the session does not run")
        case State.QR_REQUIRED if record.was_paired:
            yield Finding("phone_unlinked", "the session asks for a QR: the number has to be linked again with a phone")
        case State.STARTING if restart_is_due(record, now, restart_after):
            yield Finding("session_stuck", "the session does not get to its QR")
        case State.BLOCKED:
            yield Finding("session_blocked", state.warning or "WhatsApp has blocked the session")
        case _:
            pass
