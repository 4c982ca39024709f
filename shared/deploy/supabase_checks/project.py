"""The Supabase project under check, reached as the functions reach it, and what a check reports."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import requests

from wpp.errors import UpstreamBroken
from wpp.http.messages import CALL_TIMEOUT, Request, Response
from wpp.http.transport import USER_AGENT
from wpp.http.upstream import malformed, refusal
from wpp.supabase.api import PostgrestTable, key_headers
from wpp.supabase.rows import Rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wpp.config import Config
    from wpp.http.upstream import Upstream

TABLE = "messenger_integrations"
_LARGEST_DESCRIPTION = 64 * 1024 * 1024  # bytes
_PIECE = 64 * 1024


class Finding(NamedTuple):
    problem: str
    remedy: str
    """What to do, as the rest of the problem's line."""


class Outcome(NamedTuple):
    summary: str
    """What was seen, or why nothing could be."""
    findings: tuple[Finding, ...] = ()
    was_checked: bool = True


class Project:
    """`access_token` is a member's, `organization_id` a test organization's. Without them, their checks are skipped."""

    def __init__(
        self,
        config: Config,
        upstream: Upstream,
        *,
        has_anon_key: bool,
        access_token: str | None = None,
        organization_id: str | None = None,
    ) -> None:
        self.config = config
        self.upstream = upstream
        self.rows = Rows(config, upstream)
        self.has_anon_key = has_anon_key
        """False if the configuration has the service key in the anon key's place."""
        self.access_token = access_token
        self.organization_id = organization_id

    def table(self, name: str = TABLE) -> PostgrestTable:
        return PostgrestTable(self.config, self.upstream, name, CALL_TIMEOUT)

    def get(self, name: str, path: str, headers: Mapping[str, str]) -> Response:
        """The response of any status below 500 but 429. Raises UpstreamError, DeadlinePassed."""
        return self.upstream.send(
            Request("supabase", name, "GET", f"{self.config.supabase_url}{path}", headers, repeatable=True)
        )

    @cached_property
    def description(self) -> tuple[Response, dict[str, Any]]:
        """PostgREST's OpenAPI description of all tables that the service key may use, with the response it came in.

        Raises UpstreamError.
        """
        name = "rest.openapi"
        response = _large_response(
            f"{self.config.supabase_url}/rest/v1/", self.config.supabase_service_role_key.value()
        )
        if response.status != 200:
            raise refusal("supabase", name, response)
        if not isinstance(response.json, dict) or not isinstance(response.json.get("definitions"), dict):
            raise malformed("supabase", name, "a description of its tables", response)
        return response, response.json


def _large_response(url: str, key: str) -> Response:
    """Sent without our transport, which bounds a response to 1 MiB: the description of 200 tables is larger."""
    headers = {"User-Agent": USER_AGENT, "Accept": "application/openapi+json, application/json", **key_headers(key)}
    try:
        with requests.Session() as session:
            session.trust_env = False  # no proxies, no .netrc, as the functions
            with session.get(
                url, headers=headers, timeout=CALL_TIMEOUT, stream=True, allow_redirects=False
            ) as response:
                body = bytearray()
                for piece in response.iter_content(_PIECE):
                    body += piece
                    if len(body) > _LARGEST_DESCRIPTION:
                        raise UpstreamBroken("supabase", "rest.openapi", "sent a response that is too large")
                lowered = {name.lower(): value for name, value in response.headers.items()}
                return Response(response.status_code, lowered, bytes(body))
    except requests.RequestException as error:
        raise UpstreamBroken("supabase", "rest.openapi", f"could not be asked: {type(error).__name__}") from error


def claims_of(token: str) -> dict[str, Any] | None:
    """A JWT's claims, of which nothing is verified, or None if it is not a JWT."""
    from jose import JOSEError, jwt

    try:
        claims = jwt.get_unverified_claims(token)
    except (JOSEError, ValueError, RecursionError):
        return None
    return dict(claims)
