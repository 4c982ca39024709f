"""Waiting for a QR: what one `wpp-provision` asks upstream until there is one, and how long after that it answers."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from emulator.faults import Fault
from tests.bench.measured import server
from tests.support.callers import Caller, new_caller

if TYPE_CHECKING:
    from emulator.stack import Stack
    from tests.bench.report import Report

_PATH = "/functions/v1/wpp-provision"
_CALLERS = 8
# When the QR exists, and the pause between two looks at that time, both in seconds.
_CASES = ((1.3, 0.15), (5.0, 0.4), (15.0, 1.0))


def requests_per_qr(report: Report, stack: Stack) -> None:
    report.heading(
        "a first wpp-provision: from the QR being there to the answer with it, and the upstream calls of each"
    )
    with server(stack.environment()) as process, ThreadPoolExecutor(_CALLERS) as threads:
        for seconds, pause in _CASES:
            stack.reset()
            stack.platform.settings.qr_delay = seconds
            # Each caller's looks begin a little later, so that together they show the longest time that one can be late.
            for number in range(_CALLERS):
                stack.platform_server.inject(Fault("token", status=0, delay=pause * number / _CALLERS))
            callers = [new_caller(stack, {}) for _ in range(_CALLERS)]
            late = list(threads.map(lambda caller: _late(stack, process.url + _PATH, caller), callers))
            calls = _most_calls(stack)
            report.times(f"QR after {seconds:g} s: QR to answer", late)
            report.ratio(f"qr_after_{seconds:g}s_answered_after_seconds", max(late))
            report.ratio(f"qr_after_{seconds:g}s_upstream_calls", calls)
    stack.reset()


def _late(stack: Stack, url: str, caller: Caller) -> float:
    """Seconds from the moment the caller's QR exists to their answer."""
    answer = caller.call_at(url)
    answered = time.time()
    assert answer.json().get("status") == "qr_issued", answer.text
    return answered - (caller.session().started_at or 0.0) - stack.platform.settings.qr_delay


def _most_calls(stack: Stack) -> int:
    """That one invocation made, as the upstreams received them."""
    received = [*stack.supabase_server.received, *stack.platform_server.received]
    return max(Counter(each.request.headers["x-request-id"] for each in received).values())
