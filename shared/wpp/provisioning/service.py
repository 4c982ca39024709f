"""One click from beginning to end: who calls, which number, which client, in which state its session is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from wpp.errors import RowUnreadable, SessionLost
from wpp.platform.state import SessionState, State
from wpp.provisioning.access import organization_of_caller
from wpp.provisioning.creation import Creation
from wpp.provisioning.idempotency import KeyedRequest, keyed_request
from wpp.provisioning.number import Number, free_numbers, further_number, named_row, number_of, primary_number
from wpp.provisioning.options import Options, Target
from wpp.provisioning.recovery import running_session

if TYPE_CHECKING:
    from wpp.provisioning.session import Session
    from wpp.runtime import Invocation
    from wpp.supabase.rows import Organization

PLAIN = Options()
PRIMARY = Target()
Status = Literal["connected", "starting", "qr_issued"]
_TAKEN = (State.CONNECTED, State.PAIRING, State.BLOCKED)  # states of a number that `add_new` passes over


class Connection(NamedTuple):
    """What the functions answer from. `qrcode` (pairing text or a `data:` picture) is there exactly with status `qr_issued`."""

    integration_id: str
    session: str
    status: Status
    api_key: str
    qrcode: str | None = None
    is_repeated: bool = False
    """Whether the request's idempotency key was carried out before."""

    def __repr__(self) -> str:
        return f"Connection({self.session!r}, {self.status!r}, ***)"


def connect(
    invocation: Invocation,
    access_token: str,
    *,
    options: Options = PLAIN,
    target: Target = PRIMARY,
    idempotency_key: str | None = None,
    wait: bool = False,
) -> Connection:
    """Makes sure that a number of the caller's organization has its one client and that its session runs.

    With `wait`, waits until there is a QR or the number is connected, as long as the configuration and the deadline allow.
    Raises InvalidToken, OrganizationNotFound, Forbidden, NumberNotFound, IdempotencyKeyReused, CreationInProgress, SessionLost,
    UpstreamError, DeadlinePassed.
    """
    organization = organization_of_caller(invocation, access_token)
    keyed = keyed_request(organization.id, invocation.function, idempotency_key, options, target)
    is_repeated = keyed.is_repeated(organization.integrations) if keyed else False
    if options.add_new and keyed is None:
        session, state = _free_session(invocation, organization)
    else:
        number = _number(organization, options, target, keyed)
        recreate = options.force_recreate and not is_repeated
        session, state = _connected(invocation, organization, number, keyed, recreate=recreate, waits=wait)
    if wait:
        state = session.wait_for_qr(state)
    return _connection(session, state, is_repeated=is_repeated)


def _number(organization: Organization, options: Options, target: Target, keyed: KeyedRequest | None) -> Number:
    rows = organization.integrations
    if options.add_new:
        return further_number(organization.id, keyed, rows)
    row = named_row(rows, target) if target.is_named else None
    return number_of(row) if row else primary_number(organization.id)


def _free_session(invocation: Invocation, organization: Organization) -> tuple[Session, SessionState]:
    """Of a number that nobody uses, or of a new one. A candidate that turns out to be in use is passed over."""
    rows = organization.integrations
    for number in free_numbers(organization.id, rows):
        try:
            session, state = _connected(invocation, organization, number)
        except (SessionLost, RowUnreadable):
            continue
        if state.state not in _TAKEN:
            return session, state
    return _connected(invocation, organization, further_number(organization.id, None, rows))


def _connected(
    invocation: Invocation,
    organization: Organization,
    number: Number,
    keyed: KeyedRequest | None = None,
    *,
    recreate: bool = False,
    waits: bool = False,
) -> tuple[Session, SessionState]:
    """The running session of a number, and its state."""
    rows = organization.integrations
    row = number.find(rows)
    replacing = row if recreate else None
    creation = Creation(invocation, number, keyed, replacing=replacing, stop_first=recreate, others=rows)
    return running_session(invocation, number, creation.obtain(row), keyed, waits=waits)


def _connection(session: Session, state: SessionState, *, is_repeated: bool) -> Connection:
    status: Status = "starting"
    if state.state is State.CONNECTED:
        status = "connected"
    elif state.qr is not None:
        status = "qr_issued"
    api_key, name = session.credentials
    return Connection(session.row.id, name, status, api_key, state.qr, is_repeated)
