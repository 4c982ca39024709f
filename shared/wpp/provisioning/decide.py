"""What to do next about a number that shall have a client. Pure: from what was read and observed to one of a few named cases."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from wpp.provisioning.record import record_of

if TYPE_CHECKING:
    from wpp.provisioning.record import Claim, Failure, Record
    from wpp.supabase.rows import Integration


class Insert(NamedTuple):
    """There is no row yet: insert it with our claim."""


class Take(NamedTuple):
    """Nobody is at work on the row: claim it."""

    row: Integration


class Create(NamedTuple):
    """The claim is ours: do the work."""

    row: Integration


class Wait(NamedTuple):
    """Somebody else is at work."""

    row: Integration
    claim: Claim


class Fail(NamedTuple):
    """The holder that we waited for was refused: so are we."""

    failure: Failure


class Use(NamedTuple):
    """The client is there."""

    row: Integration


Decision = Insert | Take | Create | Wait | Fail | Use


def decide(
    row: Integration | None,
    *,
    own_claim_id: str,
    is_live: bool,
    unwanted: str | None = None,
    awaited: str | None = None,
) -> Decision:
    """The next step.

    `is_live`: whether somebody is at work under the row's claim, as far as was observed. `unwanted`: the generation of the
    credentials that are to be replaced. `awaited`: the id of the claim that we waited for last.
    """
    if row is None:
        return Insert()
    record = record_of(row)
    claim, failure = record.claim, record.failure
    if claim and claim.id == own_claim_id:
        return Create(row)
    is_usable = record.credentials is not None and record.generation != unwanted
    if claim and is_live and not (is_usable and claim.is_start):
        return Wait(row, claim)
    if is_usable:
        return Use(row)
    return Fail(failure) if failure and failure.claim_id == awaited else Take(row)


def restart_is_due(record: Record, now: float, after: float) -> bool:
    """Whether a session that is before its QR has been there for so long that stopping and starting it is the way out.

    `after` is in seconds, and twice as long after each restart. Never if a phone may be linked: `stop` would log it out.
    """
    return not (record.was_paired or record.qr_was_shown) and _has_passed(record, now, after * 2.0**record.restarts)


def restart_was_in_vain(record: Record, now: float, after: float) -> bool:
    """Whether a session that is before its QR was restarted, and has had the time that a start gets since then."""
    return record.restarts > 0 and _has_passed(record, now, after)


def restart_is_held_back(record: Record, now: float, after: float) -> bool:
    """Whether a session that is before its QR would have been restarted by now, if a phone could not have scanned its last QR."""
    return record.qr_was_shown and not record.was_paired and _has_passed(record, now, after)


def _has_passed(record: Record, now: float, seconds: float) -> bool:
    started = record.started_at or record.key_issued_at
    return started is not None and now - started >= seconds
