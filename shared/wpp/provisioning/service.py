"""One click from beginning to end: who calls, which client, where its session stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from wpp.errors import KeyRefused, OrganizationNotFound
from wpp.platform.state import SessionState, State
from wpp.provisioning.claim import Number, primary_number
from wpp.provisioning.creation import Creation, Made
from wpp.provisioning.request import KeyedRequest, Options, further_number, keyed_request
from wpp.provisioning.session import Session

if TYPE_CHECKING:
    from wpp.runtime import Invocation
    from wpp.supabase.rows import Organization

PLAIN = Options()
Status = Literal["connected", "starting", "qr_issued"]


class Connection(NamedTuple):
    """What the functions answer from. `qrcode` (pairing text or a `data:` picture) is there exactly with status `qr_issued`."""

    integration_id: str
    session: str
    status: Status
    api_key: str
    qrcode: str | None = None
    repeated: bool = False
    """Whether the request's idempotency key was carried out before."""

    def __repr__(self) -> str:
        return f"Connection({self.session!r}, {self.status!r}, ***)"


def connect(
    invocation: Invocation,
    access_token: str,
    *,
    options: Options = PLAIN,
    idempotency_key: str | None = None,
    wait: bool = False,
) -> Connection:
    """Makes sure that the caller's organization has its one client and that its session runs.

    With `wait`, waits until there is a QR or the account is connected, as long as the settings and the deadline allow.
    Raises InvalidToken, OrganizationNotFound, IdempotencyKeyReused, CreationInProgress, UpstreamError, DeadlinePassed.
    """
    organization = _identify(invocation, access_token)
    rows = organization.integrations
    keyed = keyed_request(organization.id, invocation.function, idempotency_key, options)
    repeated = keyed.check(rows) if keyed else False
    number = (
        further_number(organization.id, keyed, rows, invocation.upstream.clock.now())
        if options.add_new
        else primary_number(organization.id)
    )
    recreate = options.force_recreate and not repeated
    row = number.find(rows)

    creation = Creation(invocation, number, keyed, stop_first=recreate)
    made = creation.obtain(row, replacing=row if recreate else None)
    session, said = running(invocation, number, made, keyed)
    if wait:
        said = session.wait_for_qr(said)
    return _connection(session, said, repeated=repeated)


def _identify(invocation: Invocation, access_token: str) -> Organization:
    """Checks the access token, and has Supabase confirm the session while the caller's organization is read."""
    check, upstream = invocation.runtime.caller_check, invocation.upstream
    user_id = check.user_id(access_token, upstream)
    with upstream.alongside(lambda: check.confirm(access_token, user_id, upstream)) as confirmation:
        organization = invocation.rows.of_user(user_id)
    confirmation.result()
    if organization is None:
        raise OrganizationNotFound
    invocation.organization_id = organization.id
    return organization


def running(
    invocation: Invocation, number: Number, made: Made, keyed: KeyedRequest | None
) -> tuple[Session, SessionState]:
    """A running session of the client. A key that the platform refuses for good is replaced, once."""
    session = Session(invocation, made, keyed)
    try:
        return session, session.bring_forward()
    except KeyRefused:
        if made.created:
            raise
        invocation.log.warning("the stored key is refused; replacing it", fields={"integration": made.row.id})
    made = Creation(invocation, number, keyed).obtain(made.row, replacing=made.row)
    session = Session(invocation, made, keyed)
    return session, session.bring_forward()


def _connection(session: Session, said: SessionState, *, repeated: bool) -> Connection:
    status: Status = "starting"
    if said.state is State.CONNECTED:
        status = "connected"
    elif said.qr is not None:
        status = "qr_issued"
    credentials = session.client.credentials
    return Connection(session.row.id, credentials.session, status, credentials.api_key, said.qr, repeated)
