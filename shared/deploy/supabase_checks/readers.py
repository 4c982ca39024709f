"""Who can read the credentials in the table: a member, or anybody. The functions alone should.

Credentials are asked for by a filter, so that none is sent.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from deploy.supabase_checks.project import TABLE, Finding, Outcome, claims_of
from wpp.errors import UpstreamRefused
from wpp.http.upstream import malformed, refusal
from wpp.supabase.api import error_code, key_headers
from wpp.supabase.rows import PROVIDER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deploy.supabase_checks.project import Project

_CREDENTIALS = ("wppApiKey", "wppJwtToken")
_REMEDY = (
    f"an error of the product's policies: anon and authenticated need no privilege on {TABLE}; "
    "show them a view without settings if they need the other columns"
)


def anybody(project: Project) -> Outcome:
    if not project.has_anon_key:
        return Outcome("SUPABASE_ANON_KEY is not set", was_checked=False)
    readable = _readable(project, key_headers(project.config.supabase_anon_key.value()))
    if readable == () and not _readable(project, key_headers(project.config.supabase_service_role_key.value())):
        return Outcome("there is no row yet, so nothing is proven", was_checked=False)
    return Outcome("the anon key alone reads no credentials", _findings("anybody with the anon key", readable))


def member(project: Project) -> Outcome:
    if project.access_token is None:
        return Outcome("ACCESS_TOKEN, a member's, is not set", was_checked=False)
    user_id = _user_id(project.access_token)
    if user_id is None:
        problem = "ACCESS_TOKEN is not the token of a user who is signed in"
        return Outcome("", (Finding(problem, "sign in as a member, and pass the access_token of the response"),))
    bearer = {"Authorization": f"Bearer {project.access_token}"}
    try:
        readable = _readable(project, {"apikey": project.config.supabase_anon_key.value(), **bearer})
    except UpstreamRefused as error:
        if "PGRST30" not in str(error):  # of the JWT
            raise
        problem = "Supabase does not accept ACCESS_TOKEN: it has expired, or belongs to another project"
        return Outcome("", (Finding(problem, "sign in again, and pass the new access_token"),))
    if readable == ():
        organization = project.rows.of_user(user_id)
        if organization is None or not organization.integrations:
            return Outcome("this member's organization has no row yet, so nothing is proven", was_checked=False)
    return Outcome("a member cannot read the credentials of the organization", _findings("a member", readable))


def _readable(project: Project, headers: Mapping[str, str]) -> tuple[str, ...] | None:
    """The names of the credentials that somebody can read in some row, or `settings` if they could read any that come there.

    None if they may not even ask, whatever the rows are. Raises UpstreamError, DeadlinePassed.
    """
    sees_settings = _sees_row(project, headers, "settings")
    if not sees_settings:
        return () if sees_settings is False else None
    return tuple(name for name in _CREDENTIALS if _sees_row(project, headers, f"settings->>{name}")) or ("settings",)


def _sees_row(project: Project, headers: Mapping[str, str], field: str) -> bool | None:
    """Whether some row is shown to them in which the field is not null; None if they lack the privilege."""
    query = urlencode({"select": "id", "provider": f"eq.{PROVIDER}", field: "not.is.null", "limit": "1"}, safe=">")
    name = f"rest.GET.{TABLE}"
    response = project.get(name, f"/rest/v1/{TABLE}?{query}", headers)
    code = error_code(response)
    if code == "42501":
        return None
    if response.status != 200:
        raise refusal("supabase", name, response, code or "is SUPABASE_ANON_KEY right?")
    if not isinstance(response.json, list):
        raise malformed("supabase", name, "a list of rows", response)
    return bool(response.json)


def _findings(who: str, readable: tuple[str, ...] | None) -> tuple[Finding, ...]:
    if not readable:
        return ()
    return (Finding(f"{who} can read {' and '.join(readable)} in {TABLE}, where the credentials are", _REMEDY),)


def _user_id(token: str) -> str | None:
    claims = claims_of(token) or {}
    subject = claims.get("sub")
    is_user = claims.get("role") == "authenticated" and isinstance(subject, str) and _is_uuid(subject)
    return subject if is_user else None


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
