"""Best-effort work, such as saving a renewed token or registering a webhook.

It never delays an answer for long (a new client's webhook, up to 3 seconds), and what failed is not tried again by the same
process for a while.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wpp.runtime import Invocation

_FIRST_PAUSE, _LONGEST_PAUSE = 4.0, 60.0  # seconds after a failure


class BestEffort:
    """One kind of work for one row."""

    def __init__(self, invocation: Invocation, name: str, work: Callable[[], None]) -> None:
        """`work` raises if it fails. `name` tells it from others of the process."""
        self._invocation = invocation
        self._clock = invocation.upstream.clock
        self._postponed = invocation.memory.postponed
        self._name = name
        self._work = work

    @contextmanager
    def alongside(self, patience: float | None = None) -> Iterator[None]:
        """Does it during the block, unless it failed a moment ago. It counts as failed until it has succeeded.

        The block's end waits for it as `alongside_briefly` does, or for up to `patience` seconds.
        """
        until, pause = self._postponed.get(self._name) or (0.0, 0.0)
        now = self._clock.monotonic()
        if now < until:
            yield
            return
        pause = min(2 * pause, _LONGEST_PAUSE) or _FIRST_PAUSE
        self._postponed.put(self._name, (now + pause, pause))
        if patience is None:
            waiting = self._invocation.alongside_briefly(self._attempt)
        else:
            waiting = self._invocation.upstream.alongside(self._attempt, lambda: patience)
        with waiting:
            yield

    def _attempt(self) -> None:
        self._work()
        self._postponed.forget(self._name)
