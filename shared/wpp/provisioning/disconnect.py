"""Disconnects one number: its session is stopped first, and only then its row deactivated. All that reaches it again is kept."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from wpp.errors import (
    CreationInProgress,
    DeadlinePassed,
    NumberNotFound,
    SessionGone,
    SeveralNumbers,
    UpstreamRefused,
    UpstreamTimeout,
)
from wpp.provisioning.access import organization_of_caller
from wpp.provisioning.claim import ClaimLost, HeldClaim
from wpp.provisioning.client import ensure_token, stored_client
from wpp.provisioning.liveness import DEAD_AFTER, Liveness
from wpp.provisioning.number import named_row
from wpp.provisioning.pauses import pause_after
from wpp.provisioning.record import record_of
from wpp.provisioning.settling import seconds_left, settled_state

if TYPE_CHECKING:
    from wpp.provisioning.options import Target
    from wpp.runtime import Invocation
    from wpp.supabase.rows import Integration


def disconnect(invocation: Invocation, access_token: str, target: Target) -> Integration:
    """The row of the number that is disconnected now.

    Raises InvalidToken, OrganizationNotFound, Forbidden, NumberNotFound, SeveralNumbers, CreationInProgress if somebody else is
    at work on the number until our deadline, UpstreamError, DeadlinePassed.
    """
    organization = organization_of_caller(invocation, access_token)
    if not target.is_named and len(organization.integrations) > 1:
        raise SeveralNumbers
    row = named_row(organization.integrations, target)
    if row is None:
        raise NumberNotFound
    return disconnect_row(invocation, row)


def disconnect_row(
    invocation: Invocation, row: Integration, *, though_refused: bool = False, stops: bool = True
) -> Integration:
    """The same for a row of any organization. With `though_refused`, the row is deactivated also if the platform refuses to stop
    the session, as with a key that it does not take any more; a warning says so. Without `stops`, the session goes on.
    """
    claim = HeldClaim(invocation, "disconnect")
    try:
        while True:
            held, settling = _claimed(invocation, claim, row)
            try:
                if stops and record_of(held).credentials is not None:
                    _stop(invocation, claim, held, settling, though_refused=though_refused)
                return claim.change(lambda record: record.disconnected(), active=False, release=True)
            except ClaimLost:
                claim.drop()
                claim, row = HeldClaim(invocation, "disconnect"), held
    except Exception:
        claim.release()
        raise


def _claimed(invocation: Invocation, claim: HeldClaim, row: Integration) -> tuple[Integration, float]:
    """The row under our claim, once nobody else is at work on it, and the seconds that a start of theirs may still take."""
    liveness, upstream = Liveness(invocation.memory, invocation.upstream.clock), invocation.upstream
    began, after_dead_start = upstream.clock.monotonic(), 0.0

    def is_free(current: Integration) -> bool:
        nonlocal after_dead_start
        record = record_of(current)
        is_live = liveness.is_live(record)  # first: it may be dead a moment later
        after_dead_start = liveness.start_seconds_left(record) or 0.0
        return not is_live

    while True:
        found, _ = claim.take(row, is_free)
        if found is None:
            raise NumberNotFound
        if claim.row is not None:
            return found, max(after_dead_start, seconds_left(record_of(found), upstream.clock.now()))
        try:
            pause = pause_after(upstream.clock.monotonic() - began, 1)
            upstream.deadline.sleep(pause, "waiting for another request that works on this number")
            row = invocation.rows.by_id(row.id) or row
        except (DeadlinePassed, UpstreamTimeout) as error:
            if isinstance(error, UpstreamTimeout) and upstream.deadline.remaining() > 0:
                raise
            raise CreationInProgress(retry_after=math.ceil(DEAD_AFTER)) from error


def _stop(invocation: Invocation, claim: HeldClaim, row: Integration, settling: float, *, though_refused: bool) -> None:
    """Stops the session, after a start that was just sent has taken effect: sent before it, the stop would be undone."""
    try:
        client = stored_client(invocation, row)
        ensure_token(invocation, client)
        if settling > 0:
            settled_state(invocation.upstream, client.platform, settling, unknown_is_ended=True)
        client.platform.stop(fence=claim.confirm)
    except SessionGone:
        pass  # the platform does not know it, so it does not run
    except UpstreamRefused as error:
        if not though_refused or error.system != "platform":
            raise
        invocation.warn(f"the session could not be stopped: {error}")
