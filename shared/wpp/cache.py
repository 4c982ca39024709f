"""A bounded memory, and results that are shared: they save requests, and losing them costs time and nothing else."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wpp.clock import Clock

V = TypeVar("V")


class Recent(Generic[V]):
    """The values of the most recently used keys. Safe to use from several threads."""

    def __init__(self, size: int = 1000) -> None:
        self._size = size
        self._values: OrderedDict[str, V] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> V | None:
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: str, value: V) -> None:
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            if len(self._values) > self._size:
                self._values.popitem(last=False)

    def forget(self, key: str) -> None:
        with self._lock:
            self._values.pop(key, None)

    def clear(self) -> None:
        with self._lock:
            self._values.clear()

    def setdefault(self, key: str, value: V) -> V:
        with self._lock:
            known = self._values.get(key)
        if known is None:
            self.put(key, value)
        return value if known is None else known


class Shared(Generic[V]):
    """The last result of something that several ask for at the same time, such as the state of one session."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._began = float("-inf")
        self._result: V | None = None

    def result(self, max_age: float, patience: float, clock: Clock, ask: Callable[[], V]) -> V:
        """What `ask` returns, or what it returned to somebody else who asked at most `max_age` seconds ago.

        Whoever waits for somebody else for more than `patience` seconds asks for themselves. Errors are not shared.
        """
        is_ours = self._lock.acquire(timeout=max(0.0, patience))
        try:
            if self._result is not None and clock.monotonic() - self._began <= max_age:
                return self._result
            began = clock.monotonic()
            result = ask()
            self._began, self._result = began, result
            return result
        finally:
            if is_ours:
                self._lock.release()


class Present:
    """Which keys are in use right now."""

    def __init__(self) -> None:
        self._uses: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._uses)

    def __contains__(self, key: str) -> bool:
        return key in self._uses

    @contextmanager
    def using(self, key: str) -> Iterator[None]:
        with self._lock:
            self._uses[key] += 1
        try:
            yield
        finally:
            with self._lock:
                self._uses[key] -= 1
                if not self._uses[key]:
                    del self._uses[key]
