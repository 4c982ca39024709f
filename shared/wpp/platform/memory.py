"""What one process remembers of the clients it served last, to save calls. Losing it costs time and nothing else."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from wpp.platform.token import AccessToken

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


class ClientMemory:
    def __init__(self) -> None:
        self.tokens: Recent[AccessToken] = Recent()
        """By API key."""
        self.connected: Recent[bool] = Recent()
        """By API key, present for a session last seen connected: its QR is not worth asking for in advance."""

        self.given_up: Recent[bool] = Recent()
        """Ids of claims whose holder, an invocation of this process, ended without being able to release them."""

    def clear(self) -> None:
        """After a restore from a snapshot. Claims that were given up stay given up."""
        self.tokens.clear()
        self.connected.clear()
