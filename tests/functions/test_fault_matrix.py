"""Every upstream call of the functions, and everything that can go wrong with it.

Each cell breaks one call in one way, for as long as the function asks; where it asks again, a further cell breaks it only once.
Its answer must be a documented one, in time; and the next call without the fault, in the same process, or in another one if its
deadline is too short for that, must end with one client, one active row with its key, and the right session. The platform is one
that gives an organization a new client each time it is asked, unless it is asked under the same idempotency key.

What cannot end differently is run once. Who calls is asked before anything is known of their organization. Both functions are
the same code up to the started session, so `wpp_provision` has cells only for what comes after it. A fault that the functions
cannot tell from another one (TWINS) is tried with `create` alone: the tests of the transport try it in every form.
"""

from __future__ import annotations

import queue
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import chain, product
from typing import TYPE_CHECKING, Any

import pytest

from emulator.faults import Fault
from emulator.processes import free_port, server_process
from emulator.stack import WPP_SECRET, Stack
from tests.support.callers import CONNECTING, CREATE, Caller, new_caller
from tests.support.faults import FAULTS, ROWS, TWINS, end_problems
from tests.support.servers import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests

    from emulator.processes import FunctionProcess
    from tests.support.ledger import Ledger

DISCONNECT = "wpp_disconnect"
DEADLINE = 3.0  # seconds, of the calls that meet a fault
MOST_REQUESTS = 60  # of one call, whatever goes wrong
OFTEN = 1_000  # more than a function ever asks
LANES = 8

# Each with what must hold before the call happens: a new organization, an offline session, a lost answer, a known connection.
CALLS = [
    ("offline", "start"),  # first, as it takes longest
    *[
        ("new", call)
        for call in ("auth.user", "rest.GET.profiles", f"rest.POST.{ROWS}", "create", f"rest.PATCH.{ROWS}")
    ],
    *[("new", call) for call in ("token", "status", "qr", "webhook")],
    ("offline", "webhook"),
    ("lost answer", f"rest.GET.{ROWS}"),
    *[("known", call) for call in ("status", "qr")],
    ("recreate", "stop"),
]
AFTER_CREATION = {"status", "qr"}
# Of the other functions those that the connecting ones do not make, or make something else of. The number is known.
OF_OTHERS = [
    ("wpp_status", "status"), ("wpp_status", "qr"), ("wpp_qr", "qr"),
    ("wpp_disconnect", f"rest.PATCH.{ROWS}"), ("wpp_disconnect", "stop"),
]  # fmt: skip
CODES = {
    "invalid_token", "supabase_refused", "supabase_unavailable", "supabase_timeout", "platform_refused",
    "platform_unavailable", "platform_timeout", "deadline_passed", "creation_in_progress",
}  # fmt: skip
STATUSES = {401, 502, 503, 504}


@dataclass(frozen=True)
class Cell:
    function: str
    before: str
    call: str
    fault: str
    times: int = OFTEN


def cells() -> Iterator[Cell]:
    for (before, call), fault in product(CALLS, FAULTS):
        functions = CONNECTING if call in AFTER_CREATION else [CREATE]
        if fault in TWINS:
            functions = [CREATE] if call == "create" else []
        yield from (Cell(function, before, call, fault) for function in functions)
    for (function, call), fault in product(OF_OTHERS, FAULTS):
        if fault not in TWINS:
            yield Cell(function, "known", call, fault)


def can_end_differently_once(cell: Cell, hits: int) -> bool:
    """Whether the same fault, met once only, is another case than this cell, in which it was met `hits` times."""
    if FAULTS[cell.fault].action in ("hang", "drip") and cell.call != "qr":
        return False  # the first one takes all the time there is; only the QR is given up on sooner
    return hits > 1


@dataclass
class Lane:
    """A stack and a server of its own, so that cells run in parallel."""

    stack: Stack
    server: FunctionProcess
    next_server: FunctionProcess
    """With the deadline of production: a start that may have had its effect is given 10 seconds, a dead holder 6."""
    tokens: list[str] = field(default_factory=list)
    """The users' access tokens that were used here."""

    def url(self, function: str) -> str:
        return f"{self.server.url}/functions/v1/{function.replace('_', '-')}"

    def next_url(self, function: str) -> str:
        return f"{self.next_server.url}/functions/v1/{function.replace('_', '-')}"


@pytest.fixture
def lanes() -> Iterator[queue.SimpleQueue[Lane]]:
    free: queue.SimpleQueue[Lane] = queue.SimpleQueue()
    with ExitStack() as running:
        started = []
        for _ in range(LANES):
            stack = running.enter_context(Stack())
            env = stack.environment() | {"WPP_QR_WAIT_SECONDS": "1"}
            hurried = env | {"WPP_DEADLINE_SECONDS": str(DEADLINE)}
            server, next_server = (running.enter_context(server_process(each, free_port())) for each in (hurried, env))
            started.append(Lane(stack, server, next_server))
        for lane in started:
            lane.server.wait_until_ready()
            lane.next_server.wait_until_ready()
            lane.stack.platform.settings.qr_delay = 0
            warm_up(lane)
            free.put(lane)
        yield free


def warm_up(lane: Lane) -> None:
    """So that no cell pays for the imports of a first call."""
    for url in chain(map(lane.url, CONNECTING), map(lane.next_url, CONNECTING)):
        caller = new_caller(lane.stack, {})
        wait_for(lambda caller=caller, url=url: caller.call_at(url).status_code == 200)  # type: ignore[misc]


def requests_received(stack: Stack) -> int:
    return len(stack.supabase_server.received) + len(stack.platform_server.received)


def problems_of(cell: Cell, lane: Lane) -> tuple[list[str], int]:
    """With how often the fault was met."""
    stack = lane.stack
    stack.reset()
    stack.platform.settings.qr_delay = 0
    # Asked to recreate, the functions do ask again under another key: there it is the platform that keeps to one client.
    stack.platform.settings.one_client_per_organization = cell.before == "recreate"
    stack.platform.settings.create_starts = cell.before != "offline"
    caller = new_caller(stack, {})
    if cell.before in ("known", "recreate"):
        wait_for(lambda: caller.call_at(lane.url(CREATE)).status_code == 200)
    if cell.before == "lost answer":
        stack.supabase_server.inject(Fault(f"rest.POST.{ROWS}", "reset", after_effect=True))
    server = stack.supabase_server if cell.call.startswith(("auth.", "rest.")) else stack.platform_server
    fault = replace(FAULTS[cell.fault], call=cell.call, times=cell.times)
    server.inject(fault)

    before = requests_received(stack)
    began = time.monotonic()
    answer = caller.call_at(lane.url(cell.function), {"force_recreate": cell.before == "recreate"})
    took = time.monotonic() - began
    problems = answer_problems(cell, answer, took)
    sent = requests_received(stack) - before
    if sent > MOST_REQUESTS:
        problems.append(f"{sent} requests for one call")

    server.clear_faults()
    hits = cell.times - (fault.times or 0)
    lane.tokens.append(caller.token)
    if cell.function == DISCONNECT:
        problems += problems_of_disconnecting(caller, lane)
    function = cell.function if cell.function in CONNECTING else CREATE
    after = caller.call_at(lane.url(function))
    if after.status_code == 504:
        after = caller.call_at(lane.next_url(function))
    return [f"{cell}: {problem}" for problem in problems + end_problems(caller, after)], hits


def problems_of_disconnecting(caller: Caller, lane: Lane) -> list[str]:
    """What is wrong after the next call of it without the fault."""
    answer = caller.call_at(lane.url(DISCONNECT))
    if answer.status_code in (503, 504):
        answer = caller.call_at(lane.next_url(DISCONNECT))
    session = caller.session()
    found = (answer.status_code, caller.row()["is_active"], session.started_at)
    return [] if found == (200, False, None) else [f"disconnected again: status, active, started are {found}"]


def good_answer(function: str, body: dict[str, Any]) -> bool:
    if function == "wpp_qr":
        return body["qr"] is None or isinstance(body["qr"], str)
    good = {"wpp_status": ["qr_issued", "qr_pending"], DISCONNECT: ["disconnected"]}
    return body["status"] in good.get(function, ["connected", "starting", "qr_issued"])


def answer_problems(cell: Cell, answer: requests.Response, took: float) -> list[str]:
    body = answer.json()
    problems = []
    # Without a look at the deadline it would be the 8 seconds of a request, or the 5 of a stop; the margin is for a busy machine.
    if took > DEADLINE + (1.5 if cell.call == "stop" else 4.5):
        problems.append(f"answered after {took:.2f} s")
    if answer.status_code == 200:
        if not good_answer(cell.function, body):
            problems.append(f"answered {body}")
    elif answer.status_code not in STATUSES or body["code"] not in CODES:
        problems.append(f"undocumented answer {answer.status_code} {body}")
    elif answer.status_code == 401 and cell.call != "auth.user":
        problems.append("the caller was told 401 for what is not their fault")
    return problems


def test_every_fault_of_every_call_loses_and_doubles_nothing(lanes: queue.SimpleQueue[Lane], ledger: Ledger) -> None:

    def run(cell: Cell) -> list[list[str]]:
        lane = lanes.get()
        try:
            problems, hits = problems_of(cell, lane)
            if can_end_differently_once(cell, hits):
                return [problems, problems_of(replace(cell, times=1), lane)[0]]
            return [problems]
        finally:
            lanes.put(lane)

    with ThreadPoolExecutor(LANES) as threads:
        found = list(chain.from_iterable(threads.map(run, cells())))

    broken = [problem for problems in found for problem in problems]
    bad = sum(bool(problems) for problems in found)
    ledger.line(f"fault matrix: {len(found)} cells, {len(found) - bad} as documented, {bad} not")
    if broken:
        pytest.fail("\n".join(broken), pytrace=False)
    outputs = [lanes.get() for _ in range(LANES)]
    for lane in outputs:
        secrets = [lane.stack.supabase.service_role_key, lane.stack.supabase.anon_key, WPP_SECRET]
        secrets += lane.tokens + [creation.api_key for creation in lane.stack.platform.creations]
        secrets += [client.api_key for client in lane.stack.platform.clients]
        secrets += [qr for session in lane.stack.platform.sessions.values() for qr in session.qrs.values()]
        for server in (lane.server, lane.next_server):
            log = server.output()
            assert '"answered"' in log
            assert [secret for secret in secrets if secret in log] == []
