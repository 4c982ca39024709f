"""A whole claim cycle on a row of its own in a test organization: inserted, changed, and always deleted in the end.

No other row is touched, and the platform is never called.
"""

from __future__ import annotations

import secrets
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

from deploy.supabase_checks.project import TABLE, Finding, Outcome
from wpp.errors import OrganizationNotFound, RowForbidden, WppError
from wpp.http.messages import Request
from wpp.http.upstream import refusal
from wpp.provisioning.record import Claim, Record, record_of
from wpp.supabase.api import key_headers
from wpp.supabase.rows import MESSENGER_TYPE, PROVIDER, Integration, Rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from deploy.supabase_checks.project import Project

ROW_NAME = "make check-supabase"
_CLAIM_SECONDS = 60.0  # for code from before beats


class _Trial(NamedTuple):
    """The row that is inserted. `wppSubOrgId` keeps the functions from taking it for the organization's primary number."""

    project: Project
    organization_id: str
    row_id: str
    claim: Claim

    @property
    def columns(self) -> dict[str, Any]:
        return {
            "id": self.row_id,
            "organization_id": self.organization_id,
            "messenger_type": MESSENGER_TYPE,
            "provider": PROVIDER,
            "name": ROW_NAME,
            "is_active": False,
            "is_primary": False,
            "webhook_key": str(uuid.uuid4()),
            "settings": self.claimed(Record(self.row_id, self.organization_id, self._settings), self.claim),
        }

    @property
    def _settings(self) -> dict[str, Any]:
        return {"wppSubOrgId": f"{self.organization_id}__wpp__check"}

    def claimed(self, record: Record, claim: Claim) -> Mapping[str, Any]:
        return record.claimed(claim, self.project.upstream.clock.now() + _CLAIM_SECONDS).settings


def claim_cycle(project: Project) -> Outcome:
    if project.organization_id is None:
        return Outcome("ORGANIZATION_ID, of a test organization, is not set", was_checked=False)
    claim = Claim(secrets.token_hex(16), 0, "create")
    trial = _Trial(project, project.organization_id, str(uuid.uuid4()), claim)
    findings: list[Finding] = []
    try:
        for finding in _tried(trial):
            findings.append(finding)  # noqa: PERF402 - what was found before an error is kept
    except OrganizationNotFound:
        findings.append(Finding("ORGANIZATION_ID names no organization", "pass the id of one that exists, for tests"))
    except WppError as error:
        remedy = f"the functions would be refused as well: look at constraints, triggers and policies of {TABLE}"
        findings.append(Finding(str(error), remedy))
    finally:
        findings += _deleted(trial)
    return Outcome("a claim is placed once, changed by its holder alone, and the row is gone again", tuple(findings))


def _tried(trial: _Trial) -> Iterator[Finding]:
    """Raises WppError where Supabase refuses a step."""
    rows = trial.project.rows
    try:
        row = rows.insert(trial.columns)
    except RowForbidden:
        row = None
    if row is None:
        yield Finding(
            f"a unique index of {TABLE} forbids a further row of this organization, so it can have one number only",
            "leave it so if that is meant, and pass an ORGANIZATION_ID without a row to check the rest",
        )
        return
    if rows.insert(trial.columns) is not None:
        yield Finding(
            "the same row was inserted twice: two calls at once could make two clients",
            f"make {TABLE}.id the primary key, and let the gateway pass `Prefer` and the query on",
        )
    changed = _with_new_beat(trial, row)
    if changed.updated_at == row.updated_at:
        yield Finding("a change leaves updated_at as it was", "let the trigger that sets it set now()")
    else:
        outdated = {"updated_at": "is.null" if row.updated_at is None else f"eq.{row.updated_at}"}
        yield from _must_not_match(trial, outdated, "an outdated updated_at")
    another = {"settings->wppClaim->>id": f"eq.{secrets.token_hex(16)}"}
    yield from _must_not_match(trial, another, "another claim's id")


def _with_new_beat(trial: _Trial, row: Integration) -> Integration:
    """Changed as a holder changes it. Raises NotConfigured if Supabase does not carry it out, UpstreamError."""
    beat = _next(trial.claim)

    def edit(current: Integration) -> Mapping[str, Any] | None:
        record = record_of(current)
        return None if record.claim == beat else {"settings": trial.claimed(record, beat)}

    return trial.project.rows.change(row, edit, attempts=1) or row


def _next(claim: Claim) -> Claim:
    return claim._replace(beat=(claim.beat or 0) + 1)


def _must_not_match(trial: _Trial, filters: Mapping[str, str], what: str) -> Iterator[Finding]:
    table = trial.project.table()
    query = {"id": f"eq.{trial.row_id}", **filters, "select": "id"}
    response = table.write("PATCH", query, {"name": ROW_NAME}, "return=representation")
    if table.written("PATCH", response):
        yield Finding(
            f"a change with {what} was carried out: two holders of one claim could both work",
            "let the gateway pass the query of a PATCH on, and look for rules and INSTEAD OF triggers",
        )


def _deleted(trial: _Trial) -> list[Finding]:
    """Deletes the row, also one whose insert got no response, and looks whether it is gone."""
    project, config = trial.project, trial.project.config
    upstream = project.upstream.for_tidying()
    name = f"rest.DELETE.{TABLE}"
    url = f"{config.supabase_url}/rest/v1/{TABLE}?id=eq.{trial.row_id}&organization_id=eq.{trial.organization_id}"
    headers = key_headers(config.supabase_service_role_key.value())
    try:
        response = upstream.send(Request("supabase", name, "DELETE", url, headers, repeatable=True))
        if response.status not in (200, 204):
            raise refusal("supabase", name, response)
        is_left = Rows(config, upstream).by_id(trial.row_id) is not None
    except WppError as error:
        problem = f"it is not certain that row {trial.row_id}, which this check inserted, is gone: {error}"
    else:
        if not is_left:
            return []
        problem = f"row {trial.row_id}, which this check inserted, is still there after it was deleted"
    return [Finding(problem, f"delete it from {TABLE}")]
