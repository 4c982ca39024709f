"""What is stored: an organization's rows in `messenger_integrations`, read and changed through PostgREST."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from wpp.errors import OrganizationNotFound, UpstreamBroken, UpstreamTimeout
from wpp.http.messages import Request
from wpp.http.upstream import MAX_ATTEMPTS, malformed, refusal
from wpp.supabase.api import key_headers, refuses_our_key

if TYPE_CHECKING:
    from wpp.config import Settings
    from wpp.http.messages import Response
    from wpp.http.upstream import Upstream

MESSENGER_TYPE = "whatsapp"
PROVIDER = "wpp"
_TABLE = "messenger_integrations"
_COLUMNS = "id,organization_id,is_active,is_primary,settings,created_at,updated_at"


class Integration(NamedTuple):
    """A row as it was read. `updated_at` stays the text that PostgREST sent: sent back, it matches to the microsecond."""

    id: str
    organization_id: str
    is_active: bool
    is_primary: bool
    settings: Mapping[str, Any]
    created_at: str
    updated_at: str | None

    def __repr__(self) -> str:
        return f"Integration({self.id}, ***)"  # its settings hold the credentials


class Organization(NamedTuple):
    id: str
    integrations: tuple[Integration, ...]


Edit = Callable[[Integration], Mapping[str, Any] | None]
"""From a row as it is now to the columns to change, or None where there is nothing (more) to change."""


class Rows:
    """The rows as one invocation sees them."""

    def __init__(self, settings: Settings, upstream: Upstream) -> None:
        self._base = f"{settings.supabase_url}/rest/v1"
        self._secret = settings.supabase_service_role_key
        self._upstream = upstream

    def of_user(self, user_id: str) -> Organization | None:
        """The user's organization with its WhatsApp rows, in one call; None without a profile or an organization in it."""
        query = {
            "id": f"eq.{user_id}",
            "select": f"organization_id,organizations({_TABLE}({_COLUMNS}))",
            f"organizations.{_TABLE}.provider": f"eq.{PROVIDER}",
            f"organizations.{_TABLE}.messenger_type": f"eq.{MESSENGER_TYPE}",
            f"organizations.{_TABLE}.order": "created_at.asc,id.asc",
        }
        response, profiles = self._read("profiles", query)
        try:
            if not profiles or profiles[0]["organization_id"] is None or profiles[0]["organizations"] is None:
                return None
            organization_id = profiles[0]["organization_id"]
            embedded = profiles[0]["organizations"][_TABLE]
            return Organization(str(organization_id), tuple(_integration(row) for row in embedded))
        except (KeyError, TypeError) as error:
            raise malformed("supabase", "rest.GET.profiles", "the expected columns", response) from error

    def of_organization(self, organization_id: str) -> tuple[Integration, ...]:
        query = {
            "organization_id": f"eq.{organization_id}",
            "provider": f"eq.{PROVIDER}",
            "messenger_type": f"eq.{MESSENGER_TYPE}",
            "select": _COLUMNS,
            "order": "created_at.asc,id.asc",
        }
        response, rows = self._read(_TABLE, query)
        return _integrations(response, rows)

    def by_id(self, row_id: str) -> Integration | None:
        response, rows = self._read(_TABLE, {"id": f"eq.{row_id}", "select": _COLUMNS})
        return next(iter(_integrations(response, rows)), None)

    def insert(self, columns: Mapping[str, Any]) -> Integration | None:
        """The row as inserted, or None where one with this id, or with the same unique columns, is there already.

        Sent once: after a lost answer, read whether it is there. Raises OrganizationNotFound, UpstreamError, DeadlinePassed.
        """
        query = {"on_conflict": "id", "select": _COLUMNS}
        prefer = "resolution=ignore-duplicates,return=representation"
        response = self._send("POST", _TABLE, query, columns, prefer)
        if response.status == 409 and _error_code(response) == "23505":
            return None
        if response.status == 409 and _error_code(response) == "23503":
            raise OrganizationNotFound  # deleted since it was read
        return next(iter(self._changed("POST", response)), None)

    def change(self, row: Integration, edit: Edit) -> Integration | None:
        """Changes a row only where nobody changed it since it was read; otherwise reads it again and asks `edit` again.

        `edit` may raise to give up. A lost answer is settled by reading too, so `edit` must answer None to a row that has
        its change. The row as it is in the end, or None where it is gone.
        """
        current: Integration | None = row
        attempt = 0
        while current is not None:
            columns = edit(current)
            if columns is None:
                return current
            attempt += 1
            try:
                changed = self._update(current, columns)
                if changed is not None:
                    return changed
            except (UpstreamBroken, UpstreamTimeout):
                if attempt >= MAX_ATTEMPTS:
                    raise
                self._upstream.pause(attempt, "saving the connection")
            current = self.by_id(row.id)
        return None

    def _update(self, row: Integration, columns: Mapping[str, Any]) -> Integration | None:
        # Plain filters only: before PostgREST 14.4 `or=` made a successful change come back empty.
        query = {
            "id": f"eq.{row.id}",
            "updated_at": "is.null" if row.updated_at is None else f"eq.{row.updated_at}",
            "select": _COLUMNS,
        }
        # Set here as well as by a trigger, if the table has one: without either, our writers would not see each other.
        now = datetime.fromtimestamp(self._upstream.clock.now(), UTC).isoformat()
        response = self._send("PATCH", _TABLE, query, {**columns, "updated_at": now}, "return=representation")
        return next(iter(self._changed("PATCH", response)), None)

    def _read(self, table: str, query: Mapping[str, str]) -> tuple[Response, list[Any]]:
        response = self._send("GET", table, query, None, "")
        if response.status != 200:
            raise self._refusal(f"rest.GET.{table}", response)
        if not isinstance(response.json, list):
            raise malformed("supabase", f"rest.GET.{table}", "a list of rows", response)
        return response, response.json

    def _changed(self, method: str, response: Response) -> tuple[Integration, ...]:
        call = f"rest.{method}.{_TABLE}"
        if response.status not in (200, 201):
            raise self._refusal(call, response)
        if not isinstance(response.json, list):
            raise malformed("supabase", call, "the changed rows", response)
        return _integrations(response, response.json)

    def _send(
        self,
        method: str,
        table: str,
        query: Mapping[str, str],
        payload: Mapping[str, Any] | None,
        prefer: str,
    ) -> Response:
        url = f"{self._base}/{table}?{urlencode(query, safe='(),.:>')}"
        while True:
            key = self._secret.value()
            headers = key_headers(key) | ({"Prefer": prefer} if prefer else {})
            request = Request(
                "supabase", f"rest.{method}.{table}", method, url, headers, payload, repeatable=method == "GET"
            )
            response = self._upstream.send(request)
            if response.status not in (401, 403) or not self._secret.renewed(key):
                return response

    def _refusal(self, call: str, response: Response) -> Exception:
        code = _error_code(response)
        ours = refuses_our_key(response) or code in ("42501", "PGRST301", "PGRST303")
        reason = "is SUPABASE_SERVICE_ROLE_KEY right?" if ours else code
        return refusal("supabase", call, response, reason)


def _error_code(response: Response) -> str:
    """PostgREST's or PostgreSQL's code, which is from a fixed list and safe to show; empty where there is none."""
    code = response.json.get("code") if isinstance(response.json, dict) else None
    return code if isinstance(code, str) and code.isalnum() and len(code) <= 12 else ""


def _integrations(response: Response, rows: list[Any]) -> tuple[Integration, ...]:
    try:
        return tuple(_integration(row) for row in rows)
    except (KeyError, TypeError) as error:
        raise malformed("supabase", f"rest.{_TABLE}", "the expected columns", response) from error


def _integration(row: Mapping[str, Any]) -> Integration:
    settings = row["settings"]
    if settings is not None and not isinstance(settings, dict):
        raise TypeError("settings")
    return Integration(
        id=str(row["id"]),
        organization_id=str(row["organization_id"]),
        is_active=bool(row["is_active"]),
        is_primary=bool(row["is_primary"]),
        settings=settings or {},
        created_at=str(row["created_at"]),
        updated_at=None if row["updated_at"] is None else str(row["updated_at"]),
    )
