"""What is told of each call, to whoever keeps the metrics."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from wpp.http.trace import Trace

_LOG = logging.getLogger("wpp")


class CallReport(NamedTuple):
    """One call that was answered."""

    function: str
    status: int
    code: str | None
    """None if it succeeded."""
    seconds: float
    trace: Trace
    shows_qr: bool


class Observer(Protocol):
    def began(self, function: str) -> None: ...

    def answered(self, report: CallReport) -> None: ...


class Observers:
    """Those of a process. What goes wrong with one of them costs no call."""

    def __init__(self) -> None:
        self._observers: list[Observer] = []

    def add(self, observer: Observer) -> None:
        self._observers.append(observer)

    def began(self, function: str) -> None:
        for observer in self._observers:
            with suppress(Exception):
                observer.began(function)

    def answered(self, report: CallReport) -> None:
        for observer in self._observers:
            try:
                observer.answered(report)
            except Exception:  # noqa: BLE001 - the caller has nothing to do with it
                _LOG.exception("a call could not be reported")
