"""How both parts of Supabase are called: addresses, API keys, and what a refusal of our own key looks like."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from wpp.errors import NotConfigured
from wpp.http.messages import Request
from wpp.http.upstream import malformed, refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wpp.config import Config
    from wpp.errors import WppError
    from wpp.http.messages import Response
    from wpp.http.upstream import Upstream

_KEY_REFUSALS = ("PGRST301", "PGRST303")
_TABLE_PROBLEMS = {
    "42501": "is hidden from SUPABASE_SERVICE_ROLE_KEY or refuses its rows: is it a key of the role service_role, "
    "and may that role pass row-level security?",
    "42P01": "is missing",
    "PGRST200": "lacks the foreign key to organizations",
    "PGRST201": "has several foreign keys where we need one",
    "PGRST204": "lacks a column that we need",
    "PGRST205": "is missing",
}
_UNIQUE, _NULL, _FOREIGN_KEY = "23505", "23502", "23503"
_FORBIDDEN_VALUES = {_FOREIGN_KEY: "foreign key", "23514": "check"}
_CONSTRAINT = re.compile(r'constraint "([\w ().-]{1,63})"')
_MISSING, _MISSING_COLUMN = "42703", re.compile(r"column ([\w. ]{1,127}) does not exist")
_NULL_COLUMN = re.compile(r'null value in column "([\w ().-]{1,63})"')


class PostgrestTable:
    """One table behind PostgREST, as our service key sees it."""

    def __init__(self, config: Config, upstream: Upstream, table: str, timeout: float) -> None:
        self._url = f"{config.supabase_url}/rest/v1/{table}"
        self._secret = config.supabase_service_role_key
        self._upstream = upstream
        self._table = table
        self._timeout = timeout

    def read(self, query: Mapping[str, str]) -> tuple[Response, list[Any]]:
        """The rows, with the response they came in. Raises UpstreamError, DeadlinePassed."""
        response = self._send("GET", query, None, {})
        if response.status != 200:
            raise self.refusal("GET", response)
        return response, self._list("GET", response)

    def write(self, method: str, query: Mapping[str, str], payload: Mapping[str, Any], prefer: str) -> Response:
        """The response to one attempt at a change, of any status below 500 but 429. Raises UpstreamError, DeadlinePassed."""
        return self._send(method, query, payload, {"Prefer": prefer})

    def written(self, method: str, response: Response) -> list[Any]:
        """The rows that a change returned. Raises UpstreamError."""
        if response.status not in (200, 201):
            raise self.refusal(method, response)
        return self._list(method, response)

    def refusal(self, method: str, response: Response) -> WppError:
        """The error for a response that says no: what the operator has to mend is NotConfigured, and says what."""
        code = error_code(response)
        if code in _TABLE_PROBLEMS:
            return NotConfigured(f"Supabase's table {self._table} {_TABLE_PROBLEMS[code]} ({code})")
        if code == _MISSING:
            column = _quoted(response, _MISSING_COLUMN)
            return NotConfigured(f"Supabase's table {self._table} lacks the column {column} ({code})")
        if code == _NULL:
            column = _quoted(response, _NULL_COLUMN)
            return NotConfigured(
                f"{self._table}.{column} must have a default or allow null: we do not know it ({code})"
            )
        if code in _FORBIDDEN_VALUES:
            constraint = f"{_FORBIDDEN_VALUES[code]} constraint {_quoted(response, _CONSTRAINT)}"
            return NotConfigured(f"The {constraint} of {self._table} forbids the row that we need ({code})")
        ours = refuses_our_key(response) or code in _KEY_REFUSALS
        reason = "is SUPABASE_SERVICE_ROLE_KEY right?" if ours else code
        return refusal("supabase", self._name(method), response, reason)

    def _list(self, method: str, response: Response) -> list[Any]:
        rows = response.exact_json
        if not isinstance(rows, list):
            raise malformed("supabase", self._name(method), "a list of rows", response)
        return rows

    def _send(
        self, method: str, query: Mapping[str, str], payload: Mapping[str, Any] | None, headers: Mapping[str, str]
    ) -> Response:
        # Timestamps need their `+` encoded; what PostgREST's own syntax uses may stay readable.
        url = f"{self._url}?{urlencode(query, safe='(),.:')}"

        def request(key: str) -> Request:
            return Request(
                "supabase",
                self._name(method),
                method,
                url,
                {**key_headers(key), **headers},
                payload,
                timeout=self._timeout,
                repeatable=method == "GET",
            )

        return self._upstream.send_with(self._secret, request)

    def _name(self, method: str) -> str:
        return f"rest.{method}.{self._table}"


def key_headers(key: str) -> dict[str, str]:
    """A legacy key is a JWT and goes in both headers; a new `sb_secret_…` one is refused as a bearer."""
    if key.startswith("sb_"):
        return {"apikey": key}
    return {"apikey": key, "Authorization": f"Bearer {key}"}


def refuses_our_key(response: Response) -> bool:
    """Whether a 401 or 403 is about the API key that we sent, and so our fault and not the caller's.

    Kong answers `{"message": …}` alone, Envoy text, a firewall a page; Auth says `error_code` or `msg`, PostgREST `code`.
    """
    if response.status not in (401, 403):
        return False
    body: Any = response.json
    if isinstance(body, dict):
        return "message" in body and not body.keys() & {"error_code", "msg"}
    return body is None and response.body.strip() not in (b"", b"null")


def unique_constraint(response: Response) -> str | None:
    """The name of the unique constraint that a row was refused for, if that is what the response is about."""
    return _quoted(response, _CONSTRAINT) if error_code(response) == _UNIQUE else None


def is_organization_missing(response: Response) -> bool:
    """Whether a row was refused because its organization is not there, and not for what another foreign key asks for."""
    if error_code(response) != _FOREIGN_KEY:
        return False
    details = response.json.get("details")
    return not isinstance(details, str) or "(organization_id)=" in details


def _quoted(response: Response, pattern: re.Pattern[str]) -> str:
    """A name from the product's schema in PostgreSQL's own message: nothing else of it is ever shown."""
    message = response.json.get("message")  # an object, as it has a code
    match = pattern.search(message) if isinstance(message, str) else None
    return match[1] if match else "?"


def error_code(response: Response) -> str:
    """PostgREST's or PostgreSQL's code, which is from a fixed list and safe to show; empty without one."""
    code = response.json.get("code") if isinstance(response.json, dict) else None
    return code if isinstance(code, str) and code.isalnum() and len(code) <= 12 else ""
