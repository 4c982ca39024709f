"""A look at one number, for pages that poll: creates nothing, starts nothing, and saves only what was learned by the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from wpp.errors import NumberNotFound, SessionGone
from wpp.platform.state import SessionState, State
from wpp.provisioning.access import organization_of_caller
from wpp.provisioning.client import ensure_token, stored_client
from wpp.provisioning.live_state import live_state
from wpp.provisioning.liveness import Liveness
from wpp.provisioning.number import named_row
from wpp.provisioning.record import record_of
from wpp.provisioning.recovery import SESSION_DOUBT
from wpp.provisioning.settling import seconds_left
from wpp.provisioning.unscanned_qrs import unscanned_warning
from wpp.provisioning.updates import RowUpdates

if TYPE_CHECKING:
    from wpp.provisioning.options import Target
    from wpp.runtime import Invocation
    from wpp.supabase.rows import Integration

Status = Literal["connected", "qr_issued", "qr_pending", "disconnected"]
_STATUS: dict[State, tuple[Status, str | None]] = {
    State.CONNECTED: ("connected", None),
    State.STARTING: ("qr_pending", "The session is starting"),
    State.QR_REQUIRED: ("qr_pending", "There is no QR yet"),
    State.PAIRING: ("qr_pending", "The QR was scanned, and the number is being connected"),
    State.PASSKEY: ("qr_pending", "The phone asks for a passkey"),
    State.ENDED: ("disconnected", "The session has ended; connect the number again"),
    State.BLOCKED: ("disconnected", "WhatsApp has blocked the session"),
}


class Look(NamedTuple):
    """`qrcode` (pairing text or a `data:` picture) is there exactly with status `qr_issued`."""

    status: Status
    qrcode: str | None = None
    row: Integration | None = None
    message: str | None = None

    def __repr__(self) -> str:
        return f"Look({self.status!r}, ***)"


def look(invocation: Invocation, access_token: str, target: Target) -> Look:
    """The status of one number and its QR. A number that does not exist is disconnected.

    Raises InvalidToken, OrganizationNotFound, Forbidden, UpstreamError, DeadlinePassed.
    """
    organization = organization_of_caller(invocation, access_token)
    try:
        row = named_row(organization.integrations, target)
    except NumberNotFound:
        row = None
    if row is None:
        return Look("disconnected", message="The organization has no such number")
    record = record_of(row)
    if record.credentials is None:
        if Liveness(invocation.memory, invocation.upstream.clock).is_live(record):
            return Look("qr_pending", row=row, message="The number is being created")
        return Look("disconnected", row=row, message="The number was not created yet; connect it")
    if record.is_disconnected or not row.is_active:
        return Look("disconnected", row=row, message="The number is disconnected; connect it again")
    return _live_look(invocation, row)


def qr_of(invocation: Invocation, access_token: str, target: Target) -> str | None:
    """The QR of one number, None while there is none. Raises NumberNotFound and what `look` raises."""
    organization = organization_of_caller(invocation, access_token)
    row = named_row(organization.integrations, target)
    if row is None:
        raise NumberNotFound
    if record_of(row).credentials is None or record_of(row).is_disconnected or not row.is_active:
        return None
    client = stored_client(invocation, row)
    ensure_token(invocation, client)
    state = SessionState(State.STARTING).with_qr(client.platform.qr())
    updates = RowUpdates(invocation, client, only_look=True)
    if state.qr is not None:
        updates.observe(state)
    _save(updates)
    return state.qr


def _live_look(invocation: Invocation, row: Integration) -> Look:
    client = stored_client(invocation, row)
    ensure_token(invocation, client)
    try:
        state = live_state(invocation, client.platform)
    except SessionGone:
        if _is_being_started(invocation, row):
            return Look("qr_pending", row=row, message="The session is starting")
        try:  # believed only if it is still so a while later
            invocation.upstream.deadline.sleep(SESSION_DOUBT, "making sure of what the platform said about the number")
            state = live_state(invocation, client.platform)
        except SessionGone:
            text = "WPP Platform does not know the session; connect the number again"
            return Look("disconnected", row=row, message=text)
    for warning in (state.warning, unscanned_warning(invocation.memory, client.platform.credentials.api_key, state)):
        if warning:
            invocation.warn(warning)
    updates = RowUpdates(invocation, client, only_look=True)
    updates.observe(state)
    _save(updates)
    if state.qr is not None:
        return Look("qr_issued", state.qr, row)
    is_starting = state.state is State.ENDED and _is_being_started(invocation, row)
    status, message = _STATUS[State.STARTING if is_starting else state.state]
    return Look(status, None, row, message)


def _is_being_started(invocation: Invocation, row: Integration) -> bool:
    """Whether somebody is starting the session, or has started it so shortly ago that it may take effect yet."""
    record, clock = record_of(row), invocation.upstream.clock
    if record.claim and record.claim.is_start and Liveness(invocation.memory, clock).is_live(record):
        return True
    return seconds_left(record, clock.now()) > 0


def _save(updates: RowUpdates) -> None:
    if not updates.are_saved:
        with updates.saving():
            pass
