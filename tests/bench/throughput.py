"""Requests per second of the product's server, with few and many connections, on upstreams that answer at once and late."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from tests.bench.calls import delayed
from tests.bench.load import load
from tests.bench.measured import server, trees_of

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.stack import Stack
    from tests.bench.calls import User
    from tests.bench.report import Report

_PATH = "/functions/v1/wpp-create"
_CONNECTIONS, _DELAYS = (8, 64, 400), (0, 20, 100)
_MOST_CALLS = 1200
_MOST_SECONDS = 4  # of a case in which the upstreams' delay is what limits the calls
_ROUND_TRIPS = 2  # of a warm call


def throughput(report: Report, stack: Stack, user: User, since: Path | None) -> None:
    report.heading("requests per second of the product's server, the stack and the callers on the same machine")
    per_second: dict[tuple[str, int, int], float] = {}
    for name, tree in trees_of(since).items():
        with server(stack.environment(), tree) as process:
            url = process.url + _PATH
            load(url, [user.token], connections=8, calls=100)
            for delay, connections in product(_DELAYS, _CONNECTIONS):
                with delayed(stack, delay):
                    found = load(url, [user.token], connections=connections, calls=_calls(connections, delay))
                case = f"{connections} connections, upstream delay {delay} ms, {name}"
                report.times(case, found.times)
                per_second[name, connections, delay] = report.number(f"{case}, per second", found.per_second, "calls/s")
    fastest = max(per_second["now", connections, 0] for connections in _CONNECTIONS)
    for delay in _DELAYS:
        many = per_second["now", _CONNECTIONS[-1], delay]
        report.ratio(f"rps_400_connections_{delay}ms_of_fastest", many / fastest)
    if since:
        for delay, connections in product(_DELAYS, _CONNECTIONS):
            now, then = (per_second[name, connections, delay] for name in ("now", "since"))
            report.ratio(f"rps_{connections}_connections_{delay}ms_since", now / then)


def _calls(connections: int, delay: int) -> int:
    if not delay:
        return _MOST_CALLS
    return min(_MOST_CALLS, _MOST_SECONDS * connections * 1000 // (_ROUND_TRIPS * delay))
