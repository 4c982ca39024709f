"""A transport whose responses and times are those of a script, for what no server can be made to do to the millisecond."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from wpp.clock import Clock, Deadline
from wpp.http.messages import Response
from wpp.http.transport import Transport
from wpp.http.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wpp.http.trace import Trace

OK = Response(200, {}, b"{}")


class Sent(NamedTuple):
    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None
    timeout: float


class Script(Transport):
    """Each outcome comes after `takes` seconds of the script's own clock; the last one again and again."""

    def __init__(self, *outcomes: Response | BaseException, takes: float = 0.0) -> None:
        super().__init__()
        self.sent: list[Sent] = []
        self.pauses: list[float] = []
        self.seconds = 0.0
        self.clock = Clock(monotonic=lambda: self.seconds, sleep=self._sleep)
        self._outcomes = outcomes
        self._takes = takes

    def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.seconds += seconds

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout: float) -> Response:
        assert len(self.sent) < 100, "it is sent again and again"
        self.sent.append(Sent(method, url, dict(headers), body, timeout))
        self.seconds += self._takes
        outcome = self._outcomes[min(len(self.sent), len(self._outcomes)) - 1]
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def upstream(self, seconds: float = 60.0, trace: Trace | None = None) -> Upstream:
        """For a call with so many seconds for its work, whose pauses are the longest that may be drawn."""
        deadline = Deadline(seconds, self.clock, kept=0.0)
        return Upstream(self, deadline, self.clock, "r-1", trace=trace, uniform=lambda _, high: high)
