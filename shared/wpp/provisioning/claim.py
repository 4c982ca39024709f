"""The claim of one invocation on one row: whoever creates, starts, restarts, recreates or disconnects a client holds it.

The holder changes the claim's beat every 2 seconds while it works; most work is shorter than that. Whoever finds the claim
in their way observes the beat (see `liveness`). A change that a holder makes applies only while the claim is still its own.
"""

from __future__ import annotations

import math
import secrets
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from wpp.errors import DeadlinePassed, UpstreamRefused, WppError
from wpp.provisioning.liveness import DEAD_AFTER, Liveness
from wpp.provisioning.record import Claim, Doing, Failure, Record, record_of, writable_record_of
from wpp.supabase.rows import Rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wpp.clock import Ticker
    from wpp.runtime import Invocation
    from wpp.supabase.rows import Integration

BEAT_SECONDS = 2.0
TRUSTED_SECONDS = 4.0
"""After a confirmed beat was sent: until then, nobody can have observed the claim to be dead."""
_SECONDS_AFTER_A_FAILED_BEAT = 0.5
_SECONDS_FOR_A_CHANGE = 1.0
"""After which beats go on beside a change whose response is late: the claim outlives one that hangs, and one lost beat."""
_BEAT_ATTEMPTS = 2
_OLD_LEASE_SECONDS = 10.0  # what code from before beats adds to a lease, for clocks that differ

Change = Callable[[Record], Record]


class ClaimLost(Exception):  # not a failure: somebody else is finishing the job
    pass


class HeldClaim:
    """Not held after construction: `insert`, `take` or `adopt` gets it, if nobody else was faster."""

    def __init__(self, invocation: Invocation, doing: Doing) -> None:
        self.id = secrets.token_hex(16)
        self.doing = doing
        self.row: Integration | None = None
        """As it was last read or written under the claim; None while it is not held."""
        upstream = invocation.upstream
        self._invocation = invocation
        self._clock = upstream.clock
        self._liveness = Liveness(invocation.memory, upstream.clock)
        self._beat_rows = Rows(invocation.config, upstream, timeout=BEAT_SECONDS)
        self._old_expiry = upstream.clock.now() + max(0.0, upstream.deadline.remaining()) + _OLD_LEASE_SECONDS
        self._lock = threading.Lock()
        self._beat = 0
        self._confirmed_at = 0.0
        self._beat_due = -math.inf
        """By our monotonic clock. A change is a beat, too, and a beat that is sent beside it makes one of them fail."""
        self._is_being_released = False
        self._row_id: str | None = None
        self._ticker: Ticker | None = None

    def insert(self, columns: Mapping[str, Any]) -> Integration | None:
        """Inserts the row with the claim in it; None if a row with its id is there already. Raises as `Rows.insert` does."""
        self._row_id = str(columns["id"])
        record = Record(self._row_id, str(columns["organization_id"]), columns["settings"])
        sent = self._clock.monotonic()
        row = self._invocation.rows.insert({**columns, "settings": self._claimed(record).settings})
        return self._hold(row, sent)

    def take(self, row: Integration, is_free: Callable[[Integration], bool]) -> tuple[Integration | None, bool]:
        """Claims the row if it is free in the caller's sense.

        Returns the row as it is afterwards, ours or another's, or None if it is gone; and whether nobody had changed it since
        it was read.
        """
        self._row_id = row.id
        looks, was_dead = 0, False

        def claim(current: Integration) -> Mapping[str, Any] | None:
            nonlocal looks, was_dead
            looks += 1
            if self._is_in(record_of(current)) or not is_free(current):
                return None
            was_dead = record_of(current).claim is not None
            return {"settings": self._claimed(writable_record_of(current)).settings}

        sent = self._clock.monotonic()
        changed = self._invocation.rows.change(row, claim)
        held = self._hold(changed, sent)
        if was_dead and self.row is not None:
            self._invocation.count("claim_taken_over")
        return held, looks == 1

    def adopt(self, row: Integration) -> None:
        """Holds a claim of ours that turned up in the row although the response to placing it was lost."""
        self._hold(row, self._clock.monotonic() - TRUSTED_SECONDS)

    def confirm(self, within: float = TRUSTED_SECONDS) -> None:
        """The fence of `create`, `start` and `stop`: afterwards nobody can have taken the claim over yet. Does nothing if the
        claim was last confirmed less than `within` seconds ago.

        Raises ClaimLost, UpstreamError, DeadlinePassed.
        """
        if self.row is None or not self.is_confirmed(within):
            self.change(lambda record: record)

    def is_confirmed(self, within: float = TRUSTED_SECONDS) -> bool:
        return self._clock.monotonic() - self._confirmed_at < within

    def change(
        self, change: Change, *, active: bool | None = None, doing: Doing | None = None, release: bool = False
    ) -> Integration:
        """Changes the row while the claim is ours; the claim gets a new beat, or is removed. `doing` is what we do next, and
        `active` whether the row is active from now on, None if that stays as it is.

        Raises ClaimLost, UpstreamError, DeadlinePassed.
        """
        sent = self._clock.monotonic()
        self._beat_due = sent + _SECONDS_FOR_A_CHANGE
        self._is_being_released = release
        row = self._change(self._invocation.rows, change, active=active, doing=doing, release=release)
        self._beat_due = sent + BEAT_SECONDS
        if release:
            self.drop()
        return row

    def drop(self) -> None:
        """Stops working under the claim, whatever the row says: for one that was lost, or is to be found dead by others."""
        if self._ticker is not None:
            self._ticker.stop()
        with self._lock:  # not in the middle of a beat that is just being confirmed
            self.row = None
        self._liveness.abandon(self.id)

    def release(self, error: Exception | None = None, change: Change = lambda record: record) -> None:
        """Gives the claim back wherever the work stopped, also if it is not known whether it was ever placed; with `change` in
        the same request.

        A refusal stays in the row, for those who waited for this very claim. Raises no WppError: others find the claim dead.
        """
        if self._row_id is None:
            return
        self.drop()
        is_refusal = isinstance(error, UpstreamRefused)
        failure = Failure(self.id, error.code, str(error)) if is_refusal else None  # type: ignore[union-attr]

        def give_back(current: Integration) -> Mapping[str, Any] | None:
            record = record_of(current)
            return {"settings": change(record).released(failure).settings} if self._is_in(record) else None

        upstream = self._invocation.upstream.for_tidying(DEAD_AFTER)  # then it is dead anyway
        rows = Rows(self._invocation.config, upstream)
        try:
            row = rows.by_id(self._row_id)
            if row is not None:
                rows.change(row, give_back)
        except WppError as problem:
            fields = {"integration": self._row_id, "code": problem.code}
            self._invocation.log.warning("the claim could not be released; others will find it dead", fields=fields)

    def _change(
        self,
        rows: Rows,
        change: Change,
        *,
        active: bool | None = None,
        doing: Doing | None = None,
        release: bool = False,
        attempts: int | None = None,
    ) -> Integration:
        row = self.row  # read once: a beat may find it gone at any time
        if row is None:
            raise ClaimLost
        beat, sent = self._next_beat(), self._clock.monotonic()

        def edit(current: Integration) -> Mapping[str, Any] | None:
            nonlocal beat
            if self.row is None:
                raise ClaimLost  # released meanwhile: a beat must not put the claim back
            record = writable_record_of(current)
            claim = record.claim
            if claim and claim.id == self.id and claim.beat is not None and claim.beat > beat:
                beat = self._next_beat()  # another thread of ours was faster
            is_doing = doing or (claim.doing if claim and claim.id == self.id else self.doing)  # a beat keeps it
            changed = change(record).released() if release else self._claimed(change(record), beat, is_doing)
            if changed == record and active in (None, current.is_active):
                return None  # also our own change, the response to which was lost
            if not self._is_ours(record):
                raise ClaimLost
            return {"settings": changed.settings, **({} if active is None else {"is_active": active})}

        changed_row = rows.change(row, edit, attempts)
        if changed_row is None:
            raise ClaimLost
        with self._lock:
            if self.row is not None:
                self.doing = doing or self.doing
                self.row, self._confirmed_at = changed_row, max(sent, self._confirmed_at)
        return changed_row

    def _next_beat(self) -> int:
        """Never the same twice: an observer would take a repeated beat for a claim that has stood still."""
        with self._lock:
            self._beat += 1
            return self._beat

    def _is_ours(self, record: Record) -> bool:
        """The one place that asks. A claim that vanished while no other is there and no credentials are is still ours: foreign
        code wrote `settings` whole, unless we are just releasing it."""
        if record.claim is None:
            return record.credentials is None and record.failure is None and not self._is_being_released
        return self._is_in(record)

    def _is_in(self, record: Record) -> bool:
        return record.claim is not None and record.claim.id == self.id

    def _claimed(self, record: Record, beat: int = 0, doing: Doing | None = None) -> Record:
        return record.claimed(Claim(self.id, beat, doing or self.doing), self._old_expiry)

    def _hold(self, row: Integration | None, sent: float) -> Integration | None:
        if row is not None and self._is_in(record_of(row)):
            self.row, self._row_id, self._confirmed_at = row, row.id, sent
            worker = threading.current_thread()
            first = max(0.0, sent + BEAT_SECONDS - self._clock.monotonic())  # its response may have taken long
            self._ticker = self._invocation.runtime.start_ticker(first, lambda: self._tick(worker))
        return row

    def _tick(self, worker: threading.Thread) -> float | None:
        if not _is_alive(worker) or self._invocation.upstream.deadline.remaining() <= 0:
            return None
        left = self._beat_due - self._clock.monotonic()
        if left > 0:
            return left
        try:
            self._change(self._beat_rows, lambda record: record, attempts=_BEAT_ATTEMPTS)
        except (ClaimLost, DeadlinePassed):
            return None
        except WppError:
            return _SECONDS_AFTER_A_FAILED_BEAT
        except Exception:
            # Ending here would look like a dead holder to others, while the work goes on.
            self._invocation.log.exception("a beat failed for an unforeseen reason")
            return _SECONDS_AFTER_A_FAILED_BEAT
        return BEAT_SECONDS


def _is_alive(thread: threading.Thread) -> bool:
    try:
        return thread.is_alive()
    except RuntimeError:  # from Python 3.13 on, what gevent has in the place of an ended greenlet's thread
        return False
