"""The rows as they are: which of them the functions cannot read, two primary ones, claims that nobody holds any more."""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from deploy.supabase_checks.fields import unreadable_fields
from deploy.supabase_checks.project import TABLE, Finding, Outcome
from wpp.errors import UpstreamBroken
from wpp.provisioning.liveness import DEAD_AFTER, DEAD_WITHOUT_BEATS_AFTER, Liveness
from wpp.provisioning.record import Record
from wpp.runtime import Memory
from wpp.supabase.rows import MESSENGER_TYPE, PROVIDER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from deploy.supabase_checks.project import Project

MOST_ROWS = 20_000
_PAGE = 50  # rows, and ids in one address
_COLUMNS = "id,organization_id,messenger_type,is_primary,settings"
_MARGIN = 1.0  # seconds beyond the time after which a claim counts as dead


class _Seen(NamedTuple):
    """What is kept of the rows: their settings may be large."""

    total: int
    is_complete: bool
    unreadable: tuple[Finding, ...]
    primaries: Mapping[str, list[str]]
    """The ids of the primary rows of each organization."""
    claimed: Mapping[str, bool]
    """By the id of a row with a claim, whether the claim has a beat."""


class Survey:
    """Reads the rows once, for the three checks."""

    def __init__(self, project: Project) -> None:
        self._table = project.table()
        self._deadline = project.upstream.deadline
        self._liveness = Liveness(Memory(), project.upstream.clock)

    def readable(self) -> Outcome:
        seen = self._seen
        extent = f"{seen.total} rows" if seen.is_complete else f"the first {seen.total} rows"
        return Outcome(f"the functions can read {extent}", seen.unreadable)

    def primaries(self) -> Outcome:
        doubled = {org: ids for org, ids in self._seen.primaries.items() if len(ids) > 1}
        findings = [
            Finding(
                f"organization {organization} has {len(ids)} primary rows: {', '.join(ids)}",
                "keep the one that is in use, and set is_primary to false in the others",
            )
            for organization, ids in doubled.items()
        ]
        return Outcome("no organization has two primary ones", tuple(findings))

    def claims(self) -> Outcome:
        """Looks twice, as the functions do before they take a claim over: a holder at work would have changed its beat."""
        claimed = self._seen.claimed
        if not claimed:
            return Outcome("there are none")
        wait = DEAD_AFTER if all(claimed.values()) else DEAD_WITHOUT_BEATS_AFTER
        self._deadline.sleep(wait + _MARGIN, "watching claims")
        findings = [
            Finding(
                f"row {record.row_id} of organization {record.organization_id} has a claim that nobody holds any more",
                "call wpp-create for this organization, which takes it over, or remove settings.wppClaim and wppStart",
            )
            for record in self._again(list(claimed))
            if record.claim is not None and not self._liveness.is_live(record)
        ]
        return Outcome(f"{len(claimed)}, all of them with a holder at work", tuple(findings))

    @cached_property
    def _seen(self) -> _Seen:
        count, unreadable = 0, list[Finding]()
        primaries: dict[str, list[str]] = defaultdict(list)
        claimed: dict[str, bool] = {}
        for row in self._all():
            if count == MOST_ROWS:
                return _Seen(count, False, tuple(unreadable), primaries, claimed)
            count += 1
            unreadable += _row_findings(row)
            if row["is_primary"] and row["messenger_type"] == MESSENGER_TYPE:
                primaries[str(row["organization_id"])].append(str(row["id"]))
            record = _record(row)
            if record.claim is not None:
                self._liveness.is_live(record)  # the first look
                claimed[record.row_id] = record.claim.beat is not None
        return _Seen(count, True, tuple(unreadable), primaries, claimed)

    def _all(self) -> Iterator[dict[str, Any]]:
        """By ascending id, so that rows which come and go meanwhile move no others to another page."""
        after: dict[str, str] = {}
        while True:
            page = self._page(after)
            yield from page
            if not page:
                return
            after = {"id": f"gt.{page[-1]['id']}"}

    def _page(self, after: Mapping[str, str]) -> list[dict[str, Any]]:
        """Raises UpstreamError, DeadlinePassed."""
        query = {"provider": f"eq.{PROVIDER}", "order": "id.asc", **after}
        size = _PAGE
        while True:
            try:
                return self._table.read({**query, "select": _COLUMNS, "limit": str(size)})[1]
            except UpstreamBroken:  # also a response of more than 1 MiB: fewer rows may do
                if size == 1:
                    break
                size = size // 2
        # Only its settings can be that large. Without them, so that the rest is still looked at.
        columns = _COLUMNS.removesuffix(",settings")
        (row,) = self._table.read({**query, "select": columns, "limit": "1"})[1] or [None]
        return [] if row is None else [{**row, "settings": _TOO_LARGE}]

    def _again(self, ids: list[str]) -> Iterator[Record]:
        for start in range(0, len(ids), _PAGE):
            query = {"id": f"in.({','.join(ids[start : start + _PAGE])})", "select": _COLUMNS}
            yield from map(_record, self._table.read(query)[1])


_TOO_LARGE: Any = object()


def _record(row: Mapping[str, Any]) -> Record:
    settings = row["settings"] if isinstance(row["settings"], dict) else {}
    return Record(str(row["id"]), str(row["organization_id"]), settings, bool(row["is_primary"]))


def _row_findings(row: Mapping[str, Any]) -> Iterator[Finding]:
    name = f"row {row['id']} of organization {row['organization_id']}"
    if row["settings"] is _TOO_LARGE:
        yield Finding(f"{name}: settings cannot be read, or is larger than 1 MiB", "remove what is not needed from it")
        return
    if row["messenger_type"] != MESSENGER_TYPE:
        yield Finding(
            f"{name}: the functions do not see it, as its messenger_type is not '{MESSENGER_TYPE}'",
            f"correct it, or name another provider than '{PROVIDER}'",
        )
    for problem in unreadable_fields(row["settings"]):
        yield Finding(f"{name}: {problem}", f"correct or remove it in {TABLE}")
