"""What a fault may cost, with the timeouts of production: seconds until the answer, and requests for one call.

The fault matrix has every fault of every call, on shorter deadlines. Here is a sample of them, each on a stack of its own: those
that take all the time a call has side by side, and beside them the others two at a time, so that they are hardly slowed down. The
beats of a claim are counted apart: their number depends on how long a call takes, and so on how busy the machine is.
"""

from __future__ import annotations

import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Literal, NamedTuple

from emulator.faults import Fault
from emulator.stack import Stack
from tests.support.callers import new_caller
from tests.support.faults import ROWS
from wpp.clock import Ticker
from wpp.config import config_from
from wpp.errors import WppError
from wpp.http.trace import Trace
from wpp.provisioning.service import connect
from wpp.runtime import Runtime

if TYPE_CHECKING:
    import pytest

    from tests.support.callers import Caller
    from wpp.clock import Tick
    from wpp.http.messages import Request
    from wpp.http.trace import TracedRequest

Before = Literal["new", "offline", "known", "connected"]
MARGIN = 3.0  # seconds, for a busy machine
MOST_BEATS = 1.0  # a second: one every two seconds, and one more where a change of the row met one
MOST_REFUSED_BEATS = 3.0  # a second: each is tried twice, and the next comes after half a second


class Case(NamedTuple):
    before: Before
    call: str
    """The upstream call that fails for as long as it is repeated; empty if all goes well."""
    fault: Literal["hang", "respond"]
    """`respond` is with status 500."""
    answer: str
    """Or one of several, with "or" between them: where all the time goes by, it depends on what is waited for in the end."""
    seconds: float
    requests: int
    """At most, not counting those of beats; two of them are for a change of the row that meets a beat."""


CASES = (
    Case("new", "auth.user", "hang", "supabase_timeout", 28, 5),
    Case("new", f"rest.POST.{ROWS}", "hang", "supabase_timeout", 28, 10),
    Case("new", "create", "hang", "platform_timeout", 28, 10),
    Case("new", f"rest.PATCH.{ROWS}", "hang", "deadline_passed", 28, 18),
    Case("new", "token", "hang", "platform_timeout", 28, 14),
    Case("new", "status", "hang", "platform_timeout", 28, 17),
    Case("new", "webhook", "hang", "qr_issued", 3.5, 13),
    Case("offline", "start", "hang", "deadline_passed or platform_timeout", 28, 50),
    Case("known", "rest.GET.profiles", "hang", "supabase_timeout", 28, 5),
    Case("known", "qr", "hang", "platform_timeout", 28, 10),
    Case("connected", f"rest.PATCH.{ROWS}", "hang", "connected", 1, 6),
    Case("connected", "webhook", "hang", "connected", 1, 5),
    Case("new", "auth.user", "respond", "supabase_unavailable", 3, 5),
    Case("new", f"rest.POST.{ROWS}", "respond", "supabase_unavailable", 4, 10),
    Case("new", "create", "respond", "platform_unavailable", 4, 11),
    Case("new", f"rest.PATCH.{ROWS}", "respond", "supabase_unavailable", 8, 34),
    Case("new", "status", "respond", "platform_unavailable", 4, 16),
    Case("connected", f"rest.PATCH.{ROWS}", "respond", "connected", 1, 16),
    Case("new", "", "respond", "qr_issued", 1, 11),
    Case("offline", "", "respond", "starting", 1, 11),
    Case("known", "", "respond", "qr_issued", 0.5, 4),
    Case("connected", "", "respond", "connected", 0.5, 6),
)


class _Beats(threading.local):
    is_one = False  # on the thread of a ticker, while it sends one


_beats = _Beats()


class _Trace(Trace):
    """Counts the requests of beats, too."""

    beats = 0

    def end(self, request: Request, result: str, started: float) -> TracedRequest:
        self.beats += _beats.is_one
        return super().end(request, result, started)


def _start_ticker(first: float, tick: Tick) -> Ticker:
    def beat() -> float | None:
        _beats.is_one = True
        return tick()

    return Ticker(first, beat)


def test_a_fault_costs_no_more_than_its_time_and_its_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wpp.runtime._PATIENCE", 0.5)  # as in production
    with ThreadPoolExecutor(len(CASES)) as all_at_once, ThreadPoolExecutor(2) as a_few:
        found = [(all_at_once if case.seconds > 10 else a_few).submit(_problem, case) for case in CASES]
        problems = [problem for one in found if (problem := one.result())]
    assert not problems, "\n".join(problems)


def _problem(case: Case) -> str | None:
    with Stack() as stack, closing(_runtime(stack)) as runtime:
        runtime.caller_check.prepare()
        stack.platform.settings.qr_delay = 0
        caller = new_caller(stack, {})
        _prepare(case.before, caller, runtime)
        if case.call:
            server = stack.supabase_server if case.call.startswith(("auth.", "rest.")) else stack.platform_server
            server.inject(Fault(case.call, case.fault, times=None))
        trace = _Trace(runtime.clock)
        invocation = runtime.begin("wpp-create", "id", trace=trace)
        began = time.monotonic()
        try:
            answer: str = connect(invocation, caller.token).status
        except WppError as error:
            answer = error.code
        took, requests = time.monotonic() - began, len(trace.requests) - trace.beats
        stack.supabase_server.clear_faults()
        stack.platform_server.clear_faults()
    are_refused = (case.call, case.fault) == (f"rest.PATCH.{ROWS}", "respond")
    most_beats = took * (MOST_REFUSED_BEATS if are_refused else MOST_BEATS)
    # For each second that a busy machine adds, a claim may be confirmed or a session looked at once more.
    most_requests = case.requests + math.ceil(max(took - case.seconds, 0))
    is_cheap = requests <= most_requests and trace.beats <= most_beats
    is_kept = answer in case.answer.split(" or ") and took < case.seconds + MARGIN and is_cheap
    return None if is_kept else f"{case}: {answer} after {took:.1f} s, {requests} requests and {trace.beats} of beats"


def _runtime(stack: Stack) -> Runtime:
    return Runtime(config_from(stack.environment()), start_ticker=_start_ticker)


def _prepare(before: Before, caller: Caller, runtime: Runtime) -> None:
    platform = caller.stack.platform
    platform.settings.create_starts = before != "offline"
    if before in ("known", "connected"):
        connect(runtime.begin("wpp-create", "id"), caller.token)
    if before == "connected":  # and something about it is still to be saved
        caller.scan()
        caller.change_settings(wppWebhookHash="of another address")
