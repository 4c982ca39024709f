"""Clocks for what takes minutes: one whose long waits pass at once, and one that no wait takes any real time on."""

from __future__ import annotations

import time

from wpp.clock import Clock

_SHORT = 0.6  # seconds: shorter waits are for something that happens meanwhile, and are real


class Advancing:
    def __init__(self) -> None:
        self._passed = 0.0
        self.waits: list[float] = []
        """The long ones, in seconds."""

    def advance(self, seconds: float) -> None:
        self._passed += seconds

    @property
    def clock(self) -> Clock:
        return Clock(
            now=lambda: time.time() + self._passed,
            monotonic=lambda: time.monotonic() + self._passed,
            sleep=self._sleep,
        )

    def _sleep(self, seconds: float) -> None:
        if seconds <= _SHORT:
            time.sleep(seconds)
        else:
            self.waits.append(seconds)
            self.advance(seconds)


class Virtual:
    """Time that passes only by waiting."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    @property
    def clock(self) -> Clock:
        return Clock(monotonic=self._monotonic, sleep=self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def _monotonic(self) -> float:
        self.seconds += 0.000_1  # no two looks at a clock are the same
        return self.seconds
