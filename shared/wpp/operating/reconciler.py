"""Goes over the rows of all organizations, page by page, and finishes what can be finished.

What is wrong at the first look may be somebody's work under way. So it is looked at twice, seconds apart: a claim whose holder
is at work has changed by then, and a platform that was just restarted knows its keys and sessions again.
"""

from __future__ import annotations

import logging
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from wpp.errors import RowUnreadable, UpstreamUnreadable, WppError
from wpp.operating.examination import Examination, examine
from wpp.operating.findings import Finding, is_in_use
from wpp.operating.mending import mend
from wpp.provisioning.liveness import DEAD_AFTER, DEAD_WITHOUT_BEATS_AFTER
from wpp.provisioning.number import primary_number
from wpp.provisioning.record import record_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from wpp.clock import Clock
    from wpp.runtime import Invocation, Runtime
    from wpp.supabase.rows import Integration, Rows

SHORTEST_DEADLINE = 30.0
"""Seconds that the work on one number should have."""
PAGE = 100  # rows that are read at a time: the ids of as many organizations fit into one address
_WORKERS = 8
_SLICE = 0.5  # seconds of a wait after which it may be given up
_MARGIN = 0.1  # seconds
_LOG = logging.getLogger("wpp")


class Outcome(NamedTuple):
    """Of one number that was examined."""

    row: Integration
    found: tuple[Finding, ...] = ()
    left: tuple[Finding, ...] = ()
    """What is still so afterwards."""
    is_busy: bool = False
    """Whether it was left to somebody who is at work on it."""
    problems: tuple[str, ...] = ()
    """Why something is left."""


class Reconciler:
    def __init__(
        self, runtime: Runtime, *, fix: bool, rate: float, is_over: Callable[[], bool] = lambda: False
    ) -> None:
        """`rate` is the most looks per second at numbers on the platform. Nothing is begun any more once `is_over`."""
        self.after: str | None = None
        """The row up to which all were examined."""
        self.is_complete = False
        self._runtime = runtime
        self._fix = fix
        self._is_over = is_over
        self._pace = _Pace(1 / rate, runtime.clock)
        self._primaries: dict[str, str] = {}

    def outcomes(self, after: str | None = None) -> Iterator[Outcome]:
        """Of all numbers whose rows come after the row `after`. Raises NotConfigured, UpstreamError if no page can be read."""
        self.after = after
        with ThreadPoolExecutor(_WORKERS) as workers:
            while not self._is_over():
                rows = self._begin().rows
                page = rows.page(self.after, PAGE)
                if not page:
                    self.is_complete = True
                    return
                self._primaries = _primary_ids(rows, sorted({row.organization_id for row in page} - {""}))
                is_whole = True
                for outcome in self._of_page(workers, page):
                    if outcome is None:
                        is_whole = False
                    else:
                        yield outcome
                if not is_whole:
                    return
                self.after = page[-1].id

    def _of_page(self, workers: ThreadPoolExecutor, page: Sequence[Integration]) -> Iterator[Outcome | None]:
        """None for a number that was not examined, because it is over."""
        suspects = []
        for seen in workers.map(self._first_look, page):
            if seen is None or not (seen.found or seen.is_busy):
                yield seen and Outcome(seen.row)
            else:
                suspects.append(seen)
        self._sleep(_doubt(suspects))
        yield from workers.map(self._outcome, [seen.row for seen in suspects])

    def _first_look(self, row: Integration) -> Examination | None:
        if self._is_over():
            return None
        try:
            return self._examined(row)
        except Exception as error:  # noqa: BLE001 - one number must not stop the others
            return Examination(row, (_finding(error),))

    def _outcome(self, row: Integration) -> Outcome | None:
        """Of a second look, and of what is done about what it finds."""
        if self._is_over():
            return None
        try:
            seen = self._examined_again(row)
        except Exception as error:  # noqa: BLE001
            return Outcome(row, (_finding(error),), (_finding(error),))
        if not self._fix or seen.is_busy or not seen.found:
            return Outcome(row, seen.found, seen.found, seen.is_busy)
        invocation = self._begin()
        problems = []
        try:
            mend(invocation, seen)
            now = self._examined_again(row)
        except Exception as error:  # noqa: BLE001
            problems.append(_finding(error).text)
            now = seen
        if not now.found:
            return Outcome(row, seen.found, is_busy=now.is_busy)
        return Outcome(row, seen.found, now.found, now.is_busy, (*invocation.warnings, *problems))

    def _examined(self, row: Integration) -> Examination:
        record = record_of(row)
        if record.credentials and is_in_use(record, is_active=row.is_active):
            self._sleep(self._pace.take_turn())
        return examine(self._begin(), row, self._primaries.get(row.organization_id))

    def _examined_again(self, row: Integration) -> Examination:
        current = self._begin().rows.by_id(row.id)
        return Examination(row) if current is None else self._examined(current)

    def _begin(self) -> Invocation:
        return self._runtime.begin("reconcile", uuid.uuid4().hex)

    def _sleep(self, seconds: float) -> None:
        clock = self._runtime.clock
        until = clock.monotonic() + seconds
        while not self._is_over() and (left := until - clock.monotonic()) > 0:
            clock.sleep(min(left, _SLICE))


class _Pace:
    """Gives turns that come `pause` seconds after each other."""

    def __init__(self, pause: float, clock: Clock) -> None:
        self._pause = pause
        self._clock = clock
        self._lock = threading.Lock()
        self._next = clock.monotonic()

    def take_turn(self) -> float:
        """Seconds until it comes."""
        with self._lock:
            now = self._clock.monotonic()
            turn = max(now, self._next)
            self._next = turn + self._pause
        return turn - now


def _doubt(suspects: Sequence[Examination]) -> float:
    """Seconds until the suspects are looked at again."""
    claims = [claim for seen in suspects if seen.is_busy and (claim := record_of(seen.row).claim)]
    if any(claim.beat is None for claim in claims):
        return DEAD_WITHOUT_BEATS_AFTER + _MARGIN
    return DEAD_AFTER + _MARGIN if claims or any(seen.is_doubtful for seen in suspects) else 0.0


def _finding(error: Exception) -> Finding:
    if isinstance(error, RowUnreadable):
        return Finding("row_unreadable", str(error))
    if isinstance(error, WppError):
        return Finding("not_examined", str(error))
    _LOG.critical("an unforeseen error", exc_info=error)
    return Finding("not_examined", f"an unforeseen error, {type(error).__name__}: see the log")


def _primary_ids(rows: Rows, organization_ids: Sequence[str]) -> dict[str, str]:
    """By organization, the row that stands for its primary number. Those that cannot be read are left out."""
    if not organization_ids:
        return {}
    try:
        found = rows.of_organizations(organization_ids)
    except UpstreamUnreadable:  # also a response that is too large: fewer rows may do
        half = len(organization_ids) // 2
        if half == 0:
            return {}
        return _primary_ids(rows, organization_ids[:half]) | _primary_ids(rows, organization_ids[half:])
    primaries = {
        one: primary_number(one).find(row for row in found if row.organization_id == one) for one in organization_ids
    }
    return {one: row.id for one, row in primaries.items() if row}
