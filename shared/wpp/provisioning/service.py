"""One click from beginning to end: who calls, which client, in which state its session is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from wpp.errors import KeyRefused, NotConfigured, OrganizationNotFound
from wpp.platform.state import SessionState, State
from wpp.provisioning.creation import Creation
from wpp.provisioning.liveness import Liveness
from wpp.provisioning.number import Number, further_number, primary_number
from wpp.provisioning.options import KeyedRequest, Options, keyed_request
from wpp.provisioning.session import Session

if TYPE_CHECKING:
    from wpp.provisioning.client import Client
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
    is_repeated: bool = False
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

    With `wait`, waits until there is a QR or the number is connected, as long as the configuration and the deadline allow.
    Raises InvalidToken, OrganizationNotFound, IdempotencyKeyReused, CreationInProgress, UpstreamError, DeadlinePassed.
    """
    organization = _identify(invocation, access_token)
    rows = organization.integrations
    keyed = keyed_request(organization.id, invocation.function, idempotency_key, options)
    is_repeated = keyed.is_repeated(rows) if keyed else False
    if options.add_new:
        number = further_number(organization.id, keyed, rows, Liveness(invocation.memory, invocation.upstream.clock))
    else:
        number = primary_number(organization.id)
    row = number.find(rows)
    recreate = options.force_recreate and not is_repeated
    creation = Creation(invocation, number, keyed, replacing=row if recreate else None, stop_first=recreate)
    session, state = running_session(invocation, number, creation.obtain(row), keyed)
    if wait:
        state = session.wait_for_qr(state)
    return _connection(session, state, is_repeated=is_repeated)


def running_session(
    invocation: Invocation, number: Number, client: Client, keyed: KeyedRequest | None = None
) -> tuple[Session, SessionState]:
    """A running session of the client. A key that the platform refuses for good is replaced, once."""
    session = Session(invocation, client, keyed)
    try:
        return session, session.ensure_started()
    except KeyRefused:
        if client.was_created:
            raise
        invocation.log.warning("the stored key is refused; replacing it", fields={"integration": client.row.id})
    client = Creation(invocation, number, keyed, replacing=client.row).obtain(client.row)
    session = Session(invocation, client, keyed)
    return session, session.ensure_started()


def _identify(invocation: Invocation, access_token: str) -> Organization:
    """Checks the access token, and has Supabase confirm the session while the caller's organization is read."""
    check, upstream = invocation.runtime.caller_check, invocation.upstream
    user_id = invocation.user_id or check.user_id(access_token, upstream)
    try:
        with upstream.alongside(lambda: check.confirm(access_token, user_id, upstream)) as confirmation:
            organization = invocation.rows.of_user(user_id)
    finally:
        confirmation.result()  # whatever became of the rows: an error here is what the caller has to know first
    if organization is None:
        if not invocation.rows.is_table_of_users_visible():
            raise NotConfigured(
                "SUPABASE_SERVICE_ROLE_KEY sees no row of profiles: is it a key of the role service_role, "
                "and may that role pass row-level security?"
            )
        raise OrganizationNotFound
    invocation.organization_id = organization.id
    return organization


def _connection(session: Session, state: SessionState, *, is_repeated: bool) -> Connection:
    status: Status = "starting"
    if state.state is State.CONNECTED:
        status = "connected"
    elif state.qr is not None:
        status = "qr_issued"
    api_key, name = session.credentials
    return Connection(session.row.id, name, status, api_key, state.qr, is_repeated)
