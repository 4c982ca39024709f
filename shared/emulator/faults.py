"""How an emulated system misbehaves on demand."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field
from typing import Literal

Action = Literal["respond", "reset", "hang", "truncate", "drip", "refuse"]


@dataclass
class Fault:
    """What happens to the next calls of one name instead of their ordinary answer.

    respond   answers `status`, `body`, `headers`; with status 0 waits `delay`, then answers as usual
    reset     closes the connection with RST
    hang      keeps the connection open and sends nothing
    truncate  announces the whole answer, sends half of it, closes
    drip      sends the answer a byte at a time
    refuse    RST, and no new connections until the faults are cleared
    """

    call: str
    """The call's name, or `*` for every call of the server."""
    action: Action = "respond"
    status: int = 500
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    """Seconds before anything happens."""
    after_effect: bool = False
    """Whether the call is carried out first, so that only its answer is lost."""
    times: int | None = 1
    """How often, None for ever."""
    probability: float = 1.0
    skip: int = 0
    """How many matching calls are answered as usual before."""


class Faults:
    def __init__(self, seed: int) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._random = random.Random(seed)

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def take(self, call: str) -> Fault | None:
        """The fault that this call meets, used up by it."""
        with self._lock:
            return next((f for f in self._faults if f.call in (call, "*") and self._applies(f)), None)

    def _applies(self, fault: Fault) -> bool:
        if fault.times == 0:
            return False
        if fault.skip > 0:
            fault.skip -= 1
            return False
        if self._random.random() >= fault.probability:
            return False
        if fault.times is not None:
            fault.times -= 1
        return True
