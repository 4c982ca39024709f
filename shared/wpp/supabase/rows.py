"""What is stored: an organization's rows in `messenger_integrations`, read and changed through PostgREST."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from wpp.errors import (
    NotConfigured,
    OrganizationNotFound,
    RowForbidden,
    RowUnreadable,
    UpstreamBroken,
    UpstreamTimeout,
    UpstreamUnreadable,
)
from wpp.http.messages import CALL_TIMEOUT
from wpp.http.upstream import malformed
from wpp.supabase.api import PostgrestTable, is_organization_missing, unique_constraint

if TYPE_CHECKING:
    from wpp.config import Config
    from wpp.http.messages import Response
    from wpp.http.upstream import Upstream

MESSENGER_TYPE = "whatsapp"
PROVIDER = "wpp"
_TABLE = "messenger_integrations"
OUR_SETTINGS = (
    "wppApiKey", "wppAccountNumber", "wppJwtToken", "wppJwtExpiresAt", "wppSubOrgId", "wppApiKeyIssuedAt", "wppClaim",
    "wppStart", "wppStartedAt", "wppIdempotencyKey", "wppKeyedBy", "wppWebhookPending", "wppWebhookHash", "wppRequests",
    "wppPaired", "wppDisconnected", "wppQrShown", "wppRestarts", "wppLost",
)  # fmt: skip
_OURS = {"provider": f"eq.{PROVIDER}", "messenger_type": f"eq.{MESSENGER_TYPE}"}
_BESIDE = "id,organization_id,is_active,is_primary,created_at,updated_at"
_COLUMNS = f"{_BESIDE},settings"
_OUR_COLUMNS = ",".join([_BESIDE, *(f"{name}:settings->{name}" for name in OUR_SETTINGS)])
_LONGEST_GUARD = 64  # characters
_MOST_ATTEMPTS = 6  # at one change; each failed one found the row changed by somebody else, or got no response


class Integration(NamedTuple):
    """A row as it was read. `updated_at` stays the text that PostgREST sent: sent back, it matches to the microsecond."""

    id: str
    organization_id: str
    """Empty where a product's table has none."""
    is_active: bool
    is_primary: bool
    settings: Any
    """The jsonb column: an object as far as our functions write it, anything as far as others do."""
    created_at: str
    updated_at: str | None
    is_partial: bool = False
    """Whether `settings` holds our part alone, because the whole could not be read."""

    def __repr__(self) -> str:
        return f"Integration({self.id}, ***)"  # its settings hold the credentials


class Organization(NamedTuple):
    id: str
    integrations: tuple[Integration, ...]
    role_of_user: str | None = None
    """Of the user that it was read for; None if roles do not matter."""


Edit = Callable[[Integration], Mapping[str, Any] | None]
"""From a row as it is now to the columns to change, or None if there is nothing (more) to change."""


class Rows:
    """The rows as one invocation sees them."""

    def __init__(self, config: Config, upstream: Upstream, timeout: float = CALL_TIMEOUT) -> None:
        """`timeout` is in seconds, for each request."""
        self._upstream = upstream
        self._role_column = None if config.allowed_roles is None else config.role_column
        self._profiles = PostgrestTable(config, upstream, "profiles", timeout)
        self._table = PostgrestTable(config, upstream, _TABLE, timeout)

    def of_user(self, user_id: str) -> Organization | None:
        """The user's organization with its WhatsApp rows, in one request; None without a profile or an organization in it.

        Raises NotConfigured, UpstreamError, DeadlinePassed.
        """
        try:
            return self._of_user(user_id, _COLUMNS)
        except UpstreamUnreadable:  # one row of others' making must not stand in the way of the rest
            return self._of_user(user_id, _OUR_COLUMNS)

    def of_organization(self, organization_id: str) -> tuple[Integration, ...]:
        """Its WhatsApp rows, oldest first. Raises NotConfigured, UpstreamError, DeadlinePassed."""
        query = {**_OURS, "organization_id": f"eq.{organization_id}", "order": "created_at.asc,id.asc"}
        try:
            return self._of_table(query, _COLUMNS)
        except UpstreamUnreadable:
            return self._of_table(query, _OUR_COLUMNS)

    def of_organizations(self, organization_ids: Iterable[str]) -> tuple[Integration, ...]:
        """The same for several of them, with our part of each row alone. Raises as `of_organization` does."""
        ids = f"in.({','.join(organization_ids)})"
        return self._of_table({**_OURS, "organization_id": ids}, _OUR_COLUMNS)

    def page(self, after: str | None, most: int) -> tuple[Integration, ...]:
        """Up to `most` rows of all organizations, by ascending id from `after` on; only at the end there are none. A row that
        cannot be read comes alone and without its settings. Raises NotConfigured, UpstreamError, DeadlinePassed.
        """
        query = {**_OURS, "order": "id.asc", **({} if after is None else {"id": f"gt.{after}"})}
        while True:
            try:
                return self._of_table({**query, "limit": str(most)}, _COLUMNS)
            except UpstreamUnreadable:  # also a response that is too large: fewer rows may do
                if most == 1:
                    return self._of_table({**query, "limit": "1"}, _BESIDE)
                most = most // 2

    def by_id(self, row_id: str) -> Integration | None:
        """Raises RowUnreadable if it is too large or too deep to be read whole, UpstreamError, DeadlinePassed."""
        query = {"id": f"eq.{row_id}"}
        for _ in range(2):  # a proxy's page instead of a response says nothing about the row
            with suppress(UpstreamUnreadable):
                return next(iter(self._of_table(query, _COLUMNS)), None)
        self._of_table(query, _OUR_COLUMNS)  # raises if it is not the row
        raise RowUnreadable(row_id, "settings", "is too large or too deep to be read")

    def is_table_of_users_visible(self) -> bool:
        """Whether our key sees any profile at all."""
        _, profiles = self._profiles.read({"select": "id", "limit": "1"})
        return bool(profiles)

    def _of_user(self, user_id: str, columns: str) -> Organization | None:
        role = f"wpp_role:{self._role_column}," if self._role_column else ""
        query = {
            "id": f"eq.{user_id}",
            # The columns name the foreign keys: a product may have further relations between these tables.
            "select": f"organization_id,{role}organizations!organization_id({_TABLE}!organization_id({columns}))",
            f"organizations.{_TABLE}.provider": f"eq.{PROVIDER}",
            f"organizations.{_TABLE}.messenger_type": f"eq.{MESSENGER_TYPE}",
            f"organizations.{_TABLE}.order": "created_at.asc,id.asc",
        }
        response, profiles = self._profiles.read(query)
        try:
            if not profiles or profiles[0]["organization_id"] is None or profiles[0]["organizations"] is None:
                return None
            organization_id = profiles[0]["organization_id"]
            embedded = profiles[0]["organizations"][_TABLE]
            if not isinstance(embedded, list):  # to-one, with a unique index on organization_id
                embedded = [] if embedded is None else [embedded]
            found = profiles[0].get("wpp_role")
            role_of_user = found if isinstance(found, str) else None
            return Organization(str(organization_id), tuple(_integration(row) for row in embedded), role_of_user)
        except (AttributeError, KeyError, TypeError) as error:
            raise malformed("supabase", "rest.GET.profiles", "the expected columns", response) from error

    def _of_table(self, query: Mapping[str, str], columns: str) -> tuple[Integration, ...]:
        return _integrations("GET", *self._table.read({**query, "select": columns}))

    def insert(self, columns: Mapping[str, Any]) -> Integration | None:
        """The row as inserted, or None if one with this id is there already.

        Sent once: after a lost response, read whether it is there.
        Raises RowForbidden, OrganizationNotFound, NotConfigured, UpstreamError, DeadlinePassed.
        """
        prefer = "resolution=ignore-duplicates,return=representation"
        response = self._table.write("POST", {"on_conflict": "id", "select": _COLUMNS}, columns, prefer)
        constraint = unique_constraint(response)
        if constraint is not None:
            raise RowForbidden(constraint)
        if is_organization_missing(response):
            raise OrganizationNotFound  # deleted since it was read
        return next(iter(self._changed("POST", response)), None)

    def change(self, row: Integration, edit: Edit, attempts: int | None = None) -> Integration | None:
        """Changes a row only if nobody changed it since it was read; otherwise reads it again and asks `edit` again.

        `edit` may raise to give up. A lost response is settled by reading too, so `edit` must answer None to a row that has
        its change. Returns the row as it is in the end, or None if it is gone, or another organization's by now.
        Raises NotConfigured if Supabase never carries it out, UpstreamError, DeadlinePassed.
        """
        current = self.by_id(row.id) if row.is_partial else row
        tried: Integration | None = None
        most = attempts or _MOST_ATTEMPTS
        for attempt in range(1, most + 1):
            if current is None or current.organization_id != row.organization_id:
                return None
            columns = edit(current)
            if columns is None:
                return current
            changed = self._update(current, columns, is_last=attempt == most)
            if changed is not None:
                if not _is_carried_out(current, columns, changed):
                    raise _not_carried_out(row)
                return changed
            if attempt > 1:  # the first repetition at once: most often somebody else was a moment faster
                self._upstream.pause(attempt - 1, "saving the connection")
            tried, current = current, self.by_id(row.id)
        if current is None or edit(current) is None:
            return current
        if current == tried:
            raise _not_carried_out(row)
        raise UpstreamBroken("supabase", f"rest.PATCH.{_TABLE}", f"changed row {row.id} whenever we tried to")

    def _update(self, row: Integration, columns: Mapping[str, Any], *, is_last: bool) -> Integration | None:
        """The row as changed, or None if it has changed since it was read, or if no usable response came."""
        # Plain filters only: before PostgREST 14.4 `or=` made a successful change come back empty.
        query = {
            "id": f"eq.{row.id}",
            "organization_id": f"eq.{row.organization_id}" if row.organization_id else "is.null",
            "updated_at": "is.null" if row.updated_at is None else f"eq.{row.updated_at}",
            **_guards(row.settings),
            "select": _COLUMNS,
        }
        # Set here as well as by a trigger, if the table has one: without either, our writers would not see each other.
        now = datetime.fromtimestamp(self._upstream.clock.now(), UTC).isoformat()
        try:
            response = self._table.write("PATCH", query, {**columns, "updated_at": now}, "return=representation")
            constraint = unique_constraint(response)
            if constraint is not None:
                raise RowForbidden(constraint)
            return next(iter(self._changed("PATCH", response)), None)
        except (UpstreamBroken, UpstreamTimeout):
            if is_last:
                raise
            return None

    def _changed(self, method: str, response: Response) -> tuple[Integration, ...]:
        return _integrations(method, response, self._table.written(method, response))


def _is_carried_out(row: Integration, columns: Mapping[str, Any], changed: Integration) -> bool:
    """Whether what was changed of a row is in the one that came back: a trigger may have undone it."""
    before = {} if row.settings is None else row.settings
    sent, after = columns.get("settings"), changed.settings
    if isinstance(before, dict) and isinstance(sent, dict):
        names = [name for name in before.keys() | sent.keys() if before.get(name) != sent.get(name)]
        if names and not (isinstance(after, dict) and all(after.get(name) == sent.get(name) for name in names)):
            return False
    return columns.get("is_active") in (None, changed.is_active)


def _not_carried_out(row: Integration) -> NotConfigured:
    return NotConfigured(
        f"Supabase accepts a change of row {row.id} and does not carry it out: "
        "check row-level security, triggers, and that SUPABASE_URL does not lead to a read replica"
    )


def _guards(settings: Any) -> dict[str, str]:
    """Filters that hold only while the claim is as it was read: not everybody who changes a row changes `updated_at`."""
    claim = settings.get("wppClaim") if isinstance(settings, dict) else None
    filters = {}
    for name in ("id", "beat"):
        value = claim.get(name) if isinstance(claim, dict) else None
        if value is None:
            filters[f"settings->wppClaim->>{name}"] = "is.null"
        elif _is_comparable(value):
            filters[f"settings->wppClaim->>{name}"] = f"eq.{value}"
        # Anything else was not written by us, and `updated_at` alone has to do.
    return filters


def _is_comparable(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= _LONGEST_GUARD
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53


def _integrations(method: str, response: Response, rows: list[Any]) -> tuple[Integration, ...]:
    try:
        return tuple(_integration(row) for row in rows)
    except (AttributeError, KeyError, TypeError) as error:
        raise malformed("supabase", f"rest.{method}.{_TABLE}", "the expected columns", response) from error


def _integration(row: Mapping[str, Any]) -> Integration:
    is_partial = "settings" not in row
    settings = (
        {name: row[name] for name in OUR_SETTINGS if row.get(name) is not None} if is_partial else row["settings"]
    )
    return Integration(
        id=str(row["id"]),
        organization_id=str(row["organization_id"] or ""),
        is_active=bool(row["is_active"]),
        is_primary=bool(row["is_primary"]),
        settings=settings,
        created_at=str(row["created_at"]),
        updated_at=None if row["updated_at"] is None else str(row["updated_at"]),
        is_partial=is_partial,
    )
