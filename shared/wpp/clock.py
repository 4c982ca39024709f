"""Time as an argument: what the core waits with, and until when an invocation may work."""

from __future__ import annotations

import math
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from wpp.errors import DeadlinePassed

if TYPE_CHECKING:
    from collections.abc import Callable

    Tick = Callable[[], float | None]
    """Does something, and says in how many seconds to do it again; None ends it."""


class Clock(NamedTuple):
    now: Callable[[], float] = time.time
    """Seconds since 1970: for what is stored and compared across machines."""
    monotonic: Callable[[], float] = time.monotonic
    """Seconds since some start: for what is measured here."""
    sleep: Callable[[float], None] = time.sleep


class Deadline:
    """The time an invocation has, in two parts: for work, and a last bit kept for tidying up and answering.

    Without the kept bit, a call that uses all the time would leave none to release its claim.
    """

    def __init__(self, seconds: float, clock: Clock, *, kept: float | None = None) -> None:
        self._clock = clock
        kept = min(1.0, seconds / 8) if kept is None else kept
        started = clock.monotonic()
        self._work_until = started + seconds - kept
        self._tidy_until = started + seconds - kept / 4

    def remaining(self) -> float:
        """Seconds left for work; zero or less when there are none."""
        return self._work_until - self._clock.monotonic()

    def for_tidying(self, at_most: float = math.inf) -> Deadline:
        """The same deadline with the kept part opened, or one in `at_most` seconds: for releasing a claim, never for new work."""
        return Deadline(min(at_most, self._tidy_until - self._clock.monotonic()), self._clock, kept=0.0)

    def cap(self, seconds: float, doing: str) -> float:
        """At most `seconds`, at most what is left. Raises DeadlinePassed when nothing is."""
        remaining = self.remaining()
        if remaining <= 0:
            raise DeadlinePassed(doing)
        return min(seconds, remaining)

    def sleep(self, seconds: float, doing: str) -> None:
        """Sleeps, or raises DeadlinePassed at once if the sleep would outlast the deadline."""
        if seconds >= self.remaining():
            raise DeadlinePassed(doing)
        self._clock.sleep(seconds)


class Ticker:
    """Calls `tick` again and again on a thread of its own, until it returns None or the ticker is stopped."""

    def __init__(self, first: float, tick: Tick) -> None:
        """`first` is the seconds until the first call."""
        self._stopped = threading.Event()
        with suppress(RuntimeError):  # no thread to be had: then there are no ticks
            threading.Thread(target=self._run, args=[first, tick], daemon=True).start()

    def stop(self) -> None:
        """No call begins any more; one that is under way goes on."""
        self._stopped.set()

    def _run(self, pause: float | None, tick: Tick) -> None:
        while pause is not None and not self._stopped.wait(pause):
            pause = tick()
