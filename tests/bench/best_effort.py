"""Work that only helps and hangs: how much longer a connected number waits for its answer."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from emulator.faults import Fault
from tests.bench.measured import server
from tests.support.callers import Caller, new_caller
from tests.support.faults import ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from emulator.stack import Stack
    from tests.bench.report import Report

_PATH = "/functions/v1/wpp-create"
_CALLERS = 5
_SAVE, _WEBHOOK = f"rest.PATCH.{ROWS}", "webhook"
_CASES = {"patch": [_SAVE], "webhook": [_WEBHOOK], "patch_and_webhook": [_SAVE, _WEBHOOK]}


def best_effort(report: Report, stack: Stack) -> None:
    report.heading("wpp-create of a connected number with a token to save and a webhook to register, while that hangs")
    with server(stack.environment()) as process:
        url = process.url + _PATH
        for case, hanging in _CASES.items():
            callers = [_connected(stack, url) for _ in range(_CALLERS)]
            usual = report.times(f"{case}, nothing hangs", _times(callers, url))
            with _faults(stack, hanging):
                taken = _times(callers, url)
            report.times(f"{case} hangs", taken)
            report.ratio(f"hanging_{case}_extra_seconds", max(taken) - usual / 1000)


def _connected(stack: Stack, url: str) -> Caller:
    caller = new_caller(stack, {})
    caller.call_at(url).raise_for_status()
    caller.scan()
    caller.call_at(url).raise_for_status()
    return caller


def _times(callers: Sequence[Caller], url: str) -> list[float]:
    """Of a call of each, which finds its token revoked and its webhook not registered."""
    taken = []
    for caller in callers:
        caller.change_settings(wppWebhookPending=True)
        caller.stack.platform.revoke_tokens(caller.session().name)
        began = time.perf_counter()
        answer = caller.call_at(url)
        taken.append(time.perf_counter() - began)
        assert answer.json().get("status") == "connected", answer.text
    return taken


@contextmanager
def _faults(stack: Stack, calls: Sequence[str]) -> Iterator[None]:
    for call in calls:
        upstream = stack.supabase_server if call == _SAVE else stack.platform_server
        upstream.inject(Fault(call, "hang", times=None))
    yield
    stack.supabase_server.clear_faults()
    stack.platform_server.clear_faults()
