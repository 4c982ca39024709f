"""The server's processes killed with SIGKILL in the middle of a creation: how long the next caller waits for an answer."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import cycle
from typing import TYPE_CHECKING, NamedTuple

import requests

from emulator.faults import Fault
from tests.bench.measured import server
from tests.support.callers import Caller, new_caller
from tests.support.faults import ROWS, end_problems
from tests.support.servers import wait_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.stack import Stack
    from tests.bench.report import Report

_CREATE, _PROVISION = "/functions/v1/wpp-create", "/functions/v1/wpp-provision"
_INSERT, _SAVE = f"rest.POST.{ROWS}", f"rest.PATCH.{ROWS}"
_TURNS = 2  # organizations for each step and function


class _Step(NamedTuple):
    name: str
    call: str
    """The upstream call in which the process is killed."""
    after_effect: bool
    """Whether that call was carried out, and only its answer is lost."""
    create_starts: bool = True
    """Whether the platform starts the session in `create`, so that we need not."""


_STEPS = (
    _Step("the claim is inserted", _INSERT, after_effect=True),
    _Step("during create", "create", after_effect=False),
    _Step("after create, its answer not received", "create", after_effect=True),
    _Step("after create, before the save", _SAVE, after_effect=False),
    _Step("after the save", _SAVE, after_effect=True),
    _Step("after the save, before start", _SAVE, after_effect=True, create_starts=False),
    _Step("after start, its answer not received", "start", after_effect=True, create_starts=False),
    # Last, as its next callers wait for what is left of the time that a start may take.
    _Step("during start", "start", after_effect=False, create_starts=False),
)


class _NextCall(NamedTuple):
    case: str
    caller: Caller
    path: str


class _Answer(NamedTuple):
    call: _NextCall
    seconds: float
    problems: Sequence[str]


def recovery(report: Report, stack: Stack) -> None:
    report.heading("kill -9 during a first creation, on a platform that has its QR at once: the slowest next answer")
    # So that nothing but our idempotency key keeps the platform at one client.
    stack.platform.settings.one_client_per_organization = False
    stack.platform.settings.qr_delay = 0
    with server(stack.environment()) as successor:
        found = _answers(successor.url, _next_calls("no kill", _callers(stack)))
        killed = [call for step in _STEPS for call in _killed(stack, step)]
        found += _answers(successor.url, killed)
    stack.platform.settings.reset()
    for path, name in ((_CREATE, "create"), (_PROVISION, "provision")):
        slowest: dict[str, float] = {}
        for call, seconds, _ in found:
            if call.path == path:
                slowest[call.case] = max(seconds, slowest.get(call.case, 0.0))
        for case, seconds in slowest.items():
            report.number(f"{case}: wpp-{name}", seconds, "s")
        report.ratio(f"kill_9_next_{name}_seconds", max(slowest.values()))
    broken = [f"{answer.call.case}: {problem}" for answer in found for problem in answer.problems]
    report.ratio("kill_9_broken_promises", len(broken))
    print("".join(f"  {problem}\n" for problem in broken), end="")


def _killed(stack: Stack, step: _Step) -> list[_NextCall]:
    """Callers whose creations were all under way in one server when it was killed, and what each calls next."""
    callers = _callers(stack)
    upstream = stack.supabase_server if step.call.startswith("rest.") else stack.platform_server
    stack.platform.settings.create_starts = step.create_starts
    upstream.clear()
    with server(stack.environment()) as victim, ThreadPoolExecutor(len(callers)) as threads:
        upstream.inject(Fault(step.call, "hang", after_effect=step.after_effect, times=None))
        for caller in callers:
            threads.submit(_call_to_death, caller, victim.url + _CREATE)
        wait_for(lambda: upstream.count(step.call) >= len(callers))
        victim.kill()
    upstream.clear_faults()
    return _next_calls(step.name, callers)


def _callers(stack: Stack) -> list[Caller]:
    return [new_caller(stack, {}) for _ in range(2 * _TURNS)]


def _next_calls(case: str, callers: Sequence[Caller]) -> list[_NextCall]:
    return [_NextCall(case, caller, path) for caller, path in zip(callers, cycle((_CREATE, _PROVISION)), strict=False)]


def _call_to_death(caller: Caller, url: str) -> None:
    with suppress(requests.RequestException):
        caller.call_at(url)


def _answers(url: str, calls: Sequence[_NextCall]) -> list[_Answer]:
    """Of all calls at the same time."""
    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(lambda call: _answer(url, call), calls))


def _answer(url: str, call: _NextCall) -> _Answer:
    began = time.monotonic()
    answer = call.caller.call_at(url + call.path)
    return _Answer(call, time.monotonic() - began, end_problems(call.caller, answer))
