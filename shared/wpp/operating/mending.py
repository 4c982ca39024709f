"""What is done about the findings of one number: what a call of the functions would do next, and nothing that they would not.

Only a disconnection that was begun and cut off logs a phone out, and nothing is started that was disconnected or deactivated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wpp.platform.state import State
from wpp.provisioning.client import stored_client
from wpp.provisioning.creation import Creation
from wpp.provisioning.disconnect import disconnect_row
from wpp.provisioning.number import number_of, primary_number
from wpp.provisioning.record import record_of, writable_record_of
from wpp.provisioning.recovery import running_session
from wpp.provisioning.updates import WEBHOOK_PATIENCE, RowUpdates

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wpp.operating.examination import Examination
    from wpp.runtime import Invocation
    from wpp.supabase.rows import Integration

_MENDED_BY_A_CALL = {"key_refused", "session_lost", "session_stuck", "session_ended"}
_LINKED = (State.CONNECTED, State.PAIRING)


def mend(invocation: Invocation, seen: Examination) -> None:
    """`seen` must be just examined, and not busy. Raises WppError."""
    row, record = seen.row, record_of(seen.row)
    doing = record.claim.doing if record.claim else None
    if doing == "disconnect":
        disconnect_row(invocation, row)
    elif not seen.is_in_use:
        if doing:
            _release(invocation, row)
    elif record.credentials is None:
        _finish(invocation, row)
    elif doing == "recreate" and _may_be_recreated(seen):
        # The platform may have created the new client already: the same idempotency key brings it here.
        rows = invocation.rows.of_organization(row.organization_id)
        creation = Creation(invocation, number_of(row), replacing=row, stop_first=True, may_insert=False, others=rows)
        running_session(invocation, number_of(row), creation.obtain(row))
    elif doing or seen.kinds & _MENDED_BY_A_CALL:
        running_session(invocation, number_of(row), stored_client(invocation, row))
    else:
        _update(invocation, seen)


def _may_be_recreated(seen: Examination) -> bool:
    """Whether no phone is linked, for certain: else the key would be lost that reaches it."""
    if seen.state is None or seen.state.state in _LINKED:
        return False
    return seen.state.state is State.ENDED or not record_of(seen.row).was_paired


def _release(invocation: Invocation, row: Integration) -> None:
    """Removes a dead claim from a row that is left alone otherwise."""
    dead = record_of(row).claim

    def release(current: Integration) -> Mapping[str, Any] | None:
        record = writable_record_of(current)
        return {"settings": record.released().settings} if record.claim == dead else None

    invocation.rows.change(row, release)


def _finish(invocation: Invocation, row: Integration) -> None:
    """Has the client created, or hears of the one that was, unless another row stands for the number by now."""
    rows = invocation.rows.of_organization(row.organization_id)
    if not record_of(row).is_further_number:
        primary = primary_number(row.organization_id).find(rows)
        if primary is None or primary.id != row.id:
            return
    client = Creation(invocation, number_of(row), may_insert=False, others=rows).obtain(row)
    running_session(invocation, number_of(row), client)


def _update(invocation: Invocation, seen: Examination) -> None:
    """Registers the webhook and notes what was seen, without a look at whether the session should be started."""
    updates = RowUpdates(invocation, stored_client(invocation, seen.row))
    if seen.state is not None:
        updates.observe(seen.state)
    if updates.needs_webhook:
        with updates.registering_webhook(WEBHOOK_PATIENCE):
            pass
    if not updates.are_saved:
        updates.save()
