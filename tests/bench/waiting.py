"""Many callers at once who wait, or whose platform hangs: who else is held up by them, and for how long."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle, islice
from typing import TYPE_CHECKING

from emulator.faults import Fault
from tests.bench.calls import connect, new_users
from tests.bench.load import Load, load
from tests.bench.measured import peak_memory, server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from emulator.processes import FunctionProcess
    from emulator.stack import Stack
    from tests.bench.report import Report

_CREATE, _PROVISION = "/functions/v1/wpp-create", "/functions/v1/wpp-provision"
_QR_SECONDS = 5.0
_PAUSE = 0.25
_CLICKS_WITHIN = 2.0
"""Seconds in which the 500 come. The 1,000 come at once, and so does the stack's work for them, on the same processors."""


def waiting(report: Report, stack: Stack) -> None:
    report.heading(
        f"wpp-provision with a QR that is there after {_QR_SECONDS:g} seconds, beside a connected organization"
    )
    for people, organizations, within in ((500, 190, _CLICKS_WITHIN), (1000, 200, 0.0)):
        with server(stack.environment()) as process, bystander(stack, process, _QR_SECONDS + 5) as other:
            tokens = _tokens(stack, people, organizations)
            stack.platform.settings.qr_delay = _QR_SECONDS
            found = load(process.url + _PROVISION, tokens, connections=people, calls=people, within=within)
            memory = peak_memory(process.pid)
        stack.platform.settings.reset()
        report.times(f"{people} people of {organizations} organizations", found.times)
        report.times("the other organization meanwhile", other.result().times)
        report.ratio(f"{people}_waiting_last_answered_seconds", max(found.times))
        report.ratio(f"{people}_waiting_other_organization_seconds", max(other.result().times))
        report.ratio(f"{people}_waiting_memory_mb", memory)


def hanging(report: Report, stack: Stack) -> None:
    report.heading("240 callers of 60 organizations whose platform hangs, beside a healthy organization")
    with server(stack.environment()) as process, bystander(stack, process, 20) as other:
        tokens = _tokens(stack, 240, 60)
        stack.platform_server.inject(Fault("create", "hang", times=None))
        found = load(process.url + _CREATE, tokens, connections=240, calls=240, accepted=[502, 503, 504])
        stack.platform_server.clear_faults()
    report.times("callers of organizations that hang", found.times)
    report.times("the healthy organization meanwhile", other.result().times)
    report.ratio("hanging_caller_seconds", max(found.times))
    report.ratio("hanging_healthy_organization_seconds", max(other.result().times))


@contextmanager
def bystander(stack: Stack, process: FunctionProcess, seconds: float, *, keep: bool = True) -> Iterator[Future[Load]]:
    """The calls that a connected organization makes for at least that long, from the beginning of the block on."""
    (user,) = new_users(stack, 1)
    url = process.url + _CREATE
    connect(stack, url, [user])
    with ThreadPoolExecutor(1) as thread:
        yield thread.submit(load, url, [user.token], calls=int(seconds / _PAUSE), pause=_PAUSE, keep=keep)


def _tokens(stack: Stack, people: int, organizations: int) -> list[str]:
    return list(islice(cycle([user.token for user in new_users(stack, organizations)]), people))
