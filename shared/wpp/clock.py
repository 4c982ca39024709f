"""Time as an argument: what the core waits with, and until when an invocation may work."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from wpp.errors import DeadlinePassed

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock(NamedTuple):
    now: Callable[[], float] = time.time
    """Seconds since 1970: for what is stored and compared across machines."""
    monotonic: Callable[[], float] = time.monotonic
    """Seconds since some start: for what is measured here."""
    sleep: Callable[[float], None] = time.sleep

    def now_ms(self) -> int:
        return int(self.now() * 1000)


class Deadline:
    """The time an invocation has, in two parts: for work, and a last bit kept for tidying up and answering.

    Without the kept bit, a call that uses all the time would leave none to give its lease back.
    """

    def __init__(self, seconds: float, clock: Clock) -> None:
        self._clock = clock
        self.total = seconds
        kept = min(1.0, seconds / 8)
        started = clock.monotonic()
        self._work_until = started + seconds - kept
        self._tidy_until = started + seconds - kept / 4

    def remaining(self) -> float:
        """Seconds left for work; zero or less when there are none."""
        return self._work_until - self._clock.monotonic()

    def for_tidying(self) -> Deadline:
        """The same deadline with the kept part opened: for releasing a lease, never for new work."""
        tidy = Deadline.__new__(Deadline)
        tidy._clock, tidy.total = self._clock, self.total
        tidy._work_until = tidy._tidy_until = self._tidy_until
        return tidy

    def cap(self, seconds: float, doing: str) -> float:
        """At most `seconds`, at most what is left. Raises DeadlinePassed when nothing is."""
        remaining = self.remaining()
        if remaining <= 0:
            raise DeadlinePassed(doing)
        return min(seconds, remaining)

    def sleep(self, seconds: float, doing: str) -> None:
        """Sleeps, or raises DeadlinePassed at once where the sleep would outlast the deadline."""
        if seconds >= self.remaining():
            raise DeadlinePassed(doing)
        self._clock.sleep(seconds)
