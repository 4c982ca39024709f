"""One number examined: its row as it was just read, and the state of its session. Changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from wpp.errors import KeyRefused, RowUnreadable, SessionGone, WppError
from wpp.operating import findings
from wpp.operating.findings import Finding
from wpp.provisioning.client import stored_client
from wpp.provisioning.liveness import Liveness
from wpp.provisioning.record import webhook_hash, writable_record_of

if TYPE_CHECKING:
    from wpp.platform.state import SessionState
    from wpp.provisioning.record import Record
    from wpp.runtime import Invocation
    from wpp.supabase.rows import Integration


class Examination(NamedTuple):
    row: Integration
    found: tuple[Finding, ...] = ()
    is_busy: bool = False
    """Whether somebody is at work on the number, so that nothing can be told about it now."""
    is_in_use: bool = False
    state: SessionState | None = None
    """None if it was not read, or could not be."""

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset(finding.kind for finding in self.found)

    @property
    def is_doubtful(self) -> bool:
        """Whether the platform is to be asked again, seconds later, before this is believed."""
        return bool(self.kinds & {"key_refused", "session_lost", "not_examined"})


def examine(invocation: Invocation, row: Integration, primary_id: str | None) -> Examination:
    """`primary_id` is the row that stands for the primary number of the organization, None if that is not known."""
    try:
        record = _readable_record_of(row)
    except RowUnreadable as error:
        return Examination(row, (Finding("row_unreadable", str(error)),))
    if Liveness(invocation.memory, invocation.upstream.clock).is_live(record):
        return Examination(row, is_busy=True)
    found = [*findings.dead_claim(record)]
    if not findings.is_in_use(record, is_active=row.is_active):
        return Examination(row, tuple(found))
    if not record.is_further_number and primary_id not in (None, row.id):
        found.append(Finding("two_primaries", f"row {primary_id} stands for the organization's primary number"))
        return Examination(row, tuple(found))
    found += findings.of_row(record, webhook_hash(invocation.config.wpp_webhook_url))
    state = None
    if record.credentials is not None:
        state, of_session = _live(invocation, row, record)
        found += of_session
    return Examination(row, tuple(found), is_in_use=True, state=state)


def _readable_record_of(row: Integration) -> Record:
    if row.is_partial:
        raise RowUnreadable(row.id, "settings", "is too large or too deep to be read")
    if not row.organization_id:
        raise RowUnreadable(row.id, "organization_id", "is empty")
    return writable_record_of(row)


def _live(invocation: Invocation, row: Integration, record: Record) -> tuple[SessionState | None, list[Finding]]:
    try:
        state = stored_client(invocation, row).platform.status()
    except KeyRefused as error:
        return None, [Finding("key_refused", str(error))]
    except SessionGone as error:
        return None, [Finding("session_lost", str(error))]
    except WppError as error:
        return None, [Finding("not_examined", str(error))]
    now = invocation.upstream.clock.now()
    return state, [*findings.of_session(record, state, now, invocation.config.restart_after_seconds)]
