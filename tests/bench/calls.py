"""Calls of running functions: how long they take, what they cost, and how that grows."""

from __future__ import annotations

import re
import statistics
import uuid
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from emulator.processes import ROOT
from tests.bench.load import load
from tests.bench.measured import framework, memory, processor_seconds, server, trees_of
from tests.bench.sequential import sequential

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from emulator.stack import Stack
    from tests.bench.report import Report

CREATE = ROOT / "functions/wpp_create/main.py"
_PLAIN = ROOT / "tests/bench/plain.py"
_PATH = "/functions/v1/wpp-create"
_COUNTS = re.compile(r'desc="(\d+) calls, (\d+) round trips"')
_EMPTY = "def empty(request):\n    return b'{}', 200, {}\n"


class User(NamedTuple):
    organization: str
    token: str


def new_users(stack: Stack, count: int) -> list[User]:
    users = []
    for _ in range(count):
        organization = str(uuid.uuid4())
        stack.supabase.add_user(f"{organization}@example.com", organization_id=organization)
        users.append(User(organization, stack.supabase.sign_in(f"{organization}@example.com")))
    return users


def connect(stack: Stack, url: str, users: Sequence[User]) -> None:
    """Creates the organizations' clients, scans their QRs, and lets the function see that."""
    tokens = [user.token for user in users]
    load(url, tokens, connections=min(8, len(users)), calls=len(users))
    for user in users:
        for client in stack.platform.clients_of(user.organization):
            stack.platform.scan(client.session)
    load(url, tokens, connections=min(8, len(users)), calls=len(users))


def empty_handler(folder: Path) -> Path:
    source = folder / "empty.py"
    source.write_text(_EMPTY)
    return source


def latency(report: Report, stack: Stack, user: User, empty: Path) -> None:
    report.heading("a warm wpp-create of a connected organization, and the same calls one after another")
    env = stack.environment()
    with framework(CREATE, "wpp_create", env) as create, framework(empty, "empty", {}) as nothing:
        connect(stack, create.url, [user])
        report.times("empty functions-framework handler", load(nothing.url, [user.token], calls=200).times)
        calls = round_trips = 0
        for delay, turns in ((0, 200), (20, 60), (100, 15)):
            with delayed(stack, delay):
                found = load(create.url, [user.token], calls=turns)
                warm = report.times(f"wpp-create, upstream delay {delay} ms", found.times)
                slow = report.times(f"one after another, delay {delay} ms", sequential(stack, user.token, turns // 2))
            report.ratio(f"warm_{delay}ms_times_as_fast", slow / warm)
            calls, round_trips = _counts(found.server_timing)
        report.ratio("warm_upstream_calls", calls)
        report.ratio("warm_round_trips", round_trips)
        report.heading("a first creation")
        for delay, turns in ((0, 20), (20, 15), (100, 8)):
            with delayed(stack, delay):
                tokens = [user.token for user in new_users(stack, turns)]
                found = load(create.url, tokens, calls=turns)
                report.times(f"first creation, delay {delay} ms", found.times)
                calls, round_trips = _counts(found.server_timing)
        report.ratio("first_upstream_calls", calls)
        report.ratio("first_round_trips", round_trips)


def cost(report: Report, stack: Stack, user: User, empty: Path, since: Path | None) -> None:
    """Processor time per call. All run at the same time and are called in turn: what else the machine does, meets them alike."""
    report.heading("processor time of a warm call, user and system, under functions-framework, medians of turns")
    with ExitStack() as running:
        functions = {
            name: running.enter_context(
                framework(tree / "functions/wpp_create/main.py", "wpp_create", stack.environment(), tree)
            )
            for name, tree in trees_of(since).items()
        }
        functions["plain requests"] = running.enter_context(framework(_PLAIN, "plain", stack.environment()))
        functions["empty"] = running.enter_context(framework(empty, "empty", {}))
        taken: dict[str, list[float]] = {name: [] for name in functions}
        for turn in range(13):
            for name, process in functions.items():
                before = processor_seconds(process.pid)
                load(process.url, [user.token], calls=150)
                if turn:  # the first warms up
                    taken[name].append((processor_seconds(process.pid) - before) / 150 * 1000)
    medians = {name: statistics.median(values) for name, values in taken.items()}
    for name, value in medians.items():
        report.number(f"processor time, {name}", value, "ms")
    report.ratio("processor_time_times_plain_requests", medians["now"] / medians["plain requests"])
    if since:
        report.ratio("processor_time_since", medians["now"] / medians["since"])


def memory_of_a_worker(report: Report, stack: Stack, user: User) -> None:
    report.heading("memory of one worker")
    with server(stack.environment(), workers=1) as process:
        report.number("memory at the start", memory(process.pid), "MB")
        load(process.url + _PATH, [user.token], connections=8, calls=1000)
        early = report.number("memory after 1,000 calls", memory(process.pid), "MB")
        load(process.url + _PATH, [user.token], connections=8, calls=9000)
        late = report.number("memory after 10,000 calls", memory(process.pid), "MB")
    report.ratio("memory_mb_after_10000_calls", late)
    report.ratio("memory_growth_from_call_1000", late / early)


def growth(report: Report, stack: Stack) -> None:
    """Each organization's calls in turn, so that every call meets another one than the call before."""
    report.heading("one worker, calls of different organizations in turn")
    cost: dict[str, float] = {}
    users: list[User] = []
    with server(stack.environment(), workers=1) as process:
        # One organization again at the end: a machine may have become slower or faster meanwhile.
        for name, count in {"1": 1, "10": 10, "100": 100, "1000": 1000, "1 again of 1000": 1}.items():
            if count > len(users):
                new = new_users(stack, count - len(users))
                connect(stack, process.url + _PATH, new)
                users += new
            tokens = [user.token for user in users[:count]]
            load(process.url + _PATH, tokens, calls=max(count, 100))
            before = processor_seconds(process.pid)
            found = load(process.url + _PATH, tokens, calls=max(count, 300))
            cost[name] = (processor_seconds(process.pid) - before) / max(count, 300) * 1000
            report.times(f"{name} organizations", found.times)
            report.number(f"{name} organizations, processor time", cost[name], "ms")
        report.number("memory with 1,000 organizations", memory(process.pid), "MB")
    of_one = (cost["1"] + cost["1 again of 1000"]) / 2
    report.ratio("processor_time_1000_organizations_over_1", cost["1000"] / of_one)


@contextmanager
def delayed(stack: Stack, milliseconds: int, connect: int = 0) -> Iterator[None]:
    servers = (stack.supabase_server, stack.platform_server)
    for each in servers:
        each.latency, each.connect_latency = milliseconds / 1000, connect / 1000
    yield
    for each in servers:
        each.latency = each.connect_latency = 0.0


def _counts(server_timing: str) -> tuple[int, int]:
    """Upstream calls and round trips, as the function itself counts them."""
    found = _COUNTS.search(server_timing)
    assert found is not None, server_timing
    return int(found[1]), int(found[2])
