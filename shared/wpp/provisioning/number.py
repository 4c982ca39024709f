"""Which WhatsApp number of an organization is meant, and which row is its own. No I/O here."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, NamedTuple

from wpp.errors import NumberNotFound, RowUnreadable, UpstreamRefused
from wpp.provisioning.record import record_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from wpp.provisioning.idempotency import KeyedRequest
    from wpp.provisioning.options import Target
    from wpp.provisioning.record import Record
    from wpp.supabase.rows import Integration

_NAMESPACE = "6f0ba4a5-6f0c-5b0e-9d7b-3a5f1f9c2d11"
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Number(NamedTuple):
    """The primary number of an organization, or a further one with a row of its own."""

    organization_id: str
    row_name: str
    """What the id of its row is derived from."""
    sub_organization_id: str | None = None
    """The platform's id of a further number; None for the primary one, which goes by the organization's own."""
    known_row_id: str | None = None
    """Of a row that is there already."""
    keyed_by: str | None = None
    """Fingerprint of the idempotency key that a further number belongs to."""

    @property
    def row_id(self) -> str:
        """The id that its row gets when it is inserted."""
        if self.known_row_id:
            return self.known_row_id
        import uuid  # 2 ms at a cold start, and most calls create nothing

        return str(uuid.uuid5(uuid.UUID(_NAMESPACE), self.row_name))

    @property
    def is_primary(self) -> bool:
        return self.sub_organization_id is None

    @property
    def first_settings(self) -> dict[str, str]:
        """What its row begins with."""
        own = {"wppSubOrgId": self.sub_organization_id, "wppKeyedBy": self.keyed_by}
        return {name: value for name, value in own.items() if value is not None}

    def find(self, rows: Iterable[Integration]) -> Integration | None:
        if not self.is_primary or self.known_row_id:
            row_id = self.row_id
            return next((row for row in rows if row.id == row_id), None)
        return primary_row(rows)


def primary_row(rows: Iterable[Integration]) -> Integration | None:
    """Of an organization's rows, the one of its primary number."""
    candidates = [row for row in rows if not record_of(row).is_further_number]
    return min(candidates, key=_precedence, default=None)


def _precedence(row: Integration) -> tuple[bool, bool, bool, str, str]:
    """The same for everybody who looks, so that nobody creates on another row at the same time.

    A row with credentials, or else one with somebody at work on them, goes before a later one without.
    """
    record = record_of(row)
    has_none, is_main = record.credentials is None, row.is_primary and row.is_active
    return has_none, has_none and record.claim is None, not is_main, row.created_at, row.id


def primary_number(organization_id: str) -> Number:
    """Its row id is derived from the organization, so the table's primary key lets only one claim be inserted."""
    return Number(organization_id, organization_id)


def number_of(row: Integration) -> Number:
    """The number that a row is about."""
    record = record_of(row)
    own = record.platform_id if record.is_further_number else None
    return Number(row.organization_id, row.organization_id, own, known_row_id=row.id)


def named_row(rows: Iterable[Integration], target: Target) -> Integration | None:
    """The row of the number that a request means. Raises NumberNotFound; None if it means a primary number without a row."""
    rows = list(rows)
    if target.integration_id is not None:
        wanted = target.integration_id.lower()  # some clients write a UUID in capitals
        found = next((row for row in rows if row.id.lower() == wanted), None)
    elif target.session is not None:
        known = ((row, record_of(row).credentials) for row in rows)
        found = next((row for row, credentials in known if credentials and credentials.session == target.session), None)
    else:
        return primary_row(rows)
    if found is None:
        raise NumberNotFound
    return found


def free_numbers(organization_id: str, rows: Iterable[Integration]) -> Iterator[Number]:
    """The numbers that `add_new` without a key returns rather than adding another, the primary one first.

    Each was never paired as far as its row says, also because somebody is just creating it, or is the primary one and was
    disconnected. One that was begun with an Idempotency-Key belongs to the key.
    """
    rows = list(rows)
    primary = primary_row(rows)
    further = [row for row in rows if record_of(row).is_further_number]
    for row in [primary, *sorted(further, key=lambda row: (row.created_at, row.id))]:
        if row is None:
            continue
        record = record_of(row)
        is_free = not record.was_paired or (row is primary and record.is_disconnected)
        if is_free and not record.is_keyed:
            yield primary_number(organization_id) if row is primary else number_of(row)


def further_number(organization_id: str, keyed: KeyedRequest | None, rows: Iterable[Integration]) -> Number:
    """The number that `add_new` adds: the same one for the same key, and without a key the same one for everybody who finds the
    same rows, so that a double click adds one.

    Its id for the platform ends in 8 hexadecimal digits, too few to be unique by themselves: taken ones are passed over.
    """
    rows = list(rows)
    known = "\n".join(sorted(row.id for row in rows))
    seed = keyed.fingerprint if keyed else hashlib.sha256(known.encode()).hexdigest()[:32]
    number = Number(organization_id, f"{organization_id}\n{seed}", keyed_by=keyed.fingerprint if keyed else None)
    row_id = number.row_id
    taken = {record_of(row).platform_id for row in rows if row.id != row_id}
    attempt = 0
    while True:
        digits = hashlib.sha256(f"{seed}\n{attempt}".encode()).hexdigest()[:8]
        platform_id = f"{organization_id}__wpp__{digits}"
        if platform_id not in taken:
            return number._replace(sub_organization_id=platform_id)
        attempt += 1


def require_own_id(record: Record) -> None:
    """Raises RowUnreadable if the platform would be asked for the client of another organization: a product may let its users
    write rows."""
    own = _UUID.findall(f"{record.organization_id} {record.row_id}".lower())
    if set(_UUID.findall(record.platform_id.lower())) - set(own):
        raise RowUnreadable(record.row_id, "wppSubOrgId", "names another organization")


def require_own_session(record: Record, session: str, rows: Iterable[Integration]) -> None:
    """Raises UpstreamRefused for the session of another of these rows: disconnecting either would disconnect both.

    A further number's row does not count where the organization's own id was asked for: it holds what is not its own.
    """
    if record.credentials is not None and record.credentials.session == session:
        return
    is_own_id = record.platform_id == record.organization_id
    for row in rows:
        other = record_of(row)
        if row.id == record.row_id or (is_own_id and other.is_further_number):
            continue
        if other.credentials is not None and other.credentials.session == session:
            raise UpstreamRefused("platform", "create", f"gave the client that row {row.id} has already")
