"""Outgoing calls: when they are repeated, how long they may take, how they are counted."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from emulator.faults import Fault
from wpp.errors import DeadlinePassed, UpstreamBroken, UpstreamTimeout
from wpp.http.messages import Request
from wpp.http.upstream import Trace, retry_delay

if TYPE_CHECKING:
    from emulator.stack import Stack
    from wpp.http.messages import Response
    from wpp.http.upstream import Upstream
    from wpp.runtime import Runtime


def get(upstream: Upstream, stack: Stack, *, repeatable: bool = True, timeout: float = 2) -> Response:
    url = f"{stack.supabase_server.url}/auth/v1/health"
    return upstream.send(Request("supabase", "health", "GET", url, repeatable=repeatable, timeout=timeout))


@pytest.fixture
def upstream(runtime: Runtime) -> Upstream:
    return runtime.begin("test", "r", 8).upstream


def test_the_delay_is_jittered_grows_and_is_never_shorter_than_asked_for() -> None:
    def highest(_: float, high: float) -> float:
        return high

    assert [retry_delay(attempt, None, highest) for attempt in (1, 2, 3, 9)] == [0.2, 0.4, 0.8, 2.0]
    assert retry_delay(1, None, lambda low, _: low) == 0
    assert retry_delay(1, 5, highest) == 5


@pytest.mark.parametrize(
    "fault",
    [
        Fault("*", "reset"),
        Fault("*", "truncate"),
        Fault("*", status=500),
        Fault("*", status=503),
        Fault("*", status=429),
    ],
    ids=lambda fault: f"{fault.action}-{fault.status}",
)
def test_a_read_is_repeated_after_a_passing_fault(stack: Stack, upstream: Upstream, fault: Fault) -> None:
    stack.supabase_server.inject(fault)
    assert get(upstream, stack).status == 200
    fault.times = 1


def test_what_must_not_be_repeated_is_not(stack: Stack, upstream: Upstream) -> None:
    stack.supabase_server.inject(Fault("*", status=503))
    with pytest.raises(UpstreamBroken):
        get(upstream, stack, repeatable=False)
    assert stack.supabase_server.count("auth.health") == 1


def test_retry_after_is_honoured_and_one_that_outlasts_the_deadline_ends_it(stack: Stack, upstream: Upstream) -> None:
    stack.supabase_server.inject(Fault("*", status=429, headers={"Retry-After": "1"}))
    began = time.monotonic()
    assert get(upstream, stack).status == 200
    assert time.monotonic() - began >= 1

    stack.supabase_server.inject(Fault("*", status=429, headers={"Retry-After": "600"}))
    with pytest.raises(UpstreamBroken) as caught:
        get(upstream, stack)
    assert caught.value.retry_after == 600


@pytest.mark.parametrize("action", ["hang", "drip"])
def test_a_call_never_takes_longer_than_its_timeout(stack: Stack, upstream: Upstream, action: str) -> None:
    stack.supabase_server.inject(Fault("*", action))  # type: ignore[arg-type]
    began = time.monotonic()
    with pytest.raises(UpstreamTimeout):
        get(upstream, stack, repeatable=False, timeout=0.7)
    assert 0.6 < time.monotonic() - began < 1.5


def test_nothing_is_sent_after_the_deadline(stack: Stack, runtime: Runtime) -> None:
    upstream = runtime.begin("test", "r", 0.1).upstream
    time.sleep(0.1)
    with pytest.raises(DeadlinePassed):
        get(upstream, stack)
    assert stack.supabase_server.count("auth.health") == 0


def test_a_server_that_cannot_be_reached_is_broken(stack: Stack, upstream: Upstream) -> None:
    with pytest.raises(UpstreamBroken, match="cannot be reached"):
        upstream.send(Request("supabase", "x", "GET", "http://127.0.0.1:1/"))


def test_a_pool_that_was_closed_in_this_moment_is_broken(stack: Stack, upstream: Upstream, runtime: Runtime) -> None:
    get(upstream, stack)
    for pool in runtime.transport._pools.values():
        pool.close()
    with pytest.raises(UpstreamBroken):
        get(upstream, stack, repeatable=False)


def test_a_redirect_is_not_followed(stack: Stack, upstream: Upstream) -> None:
    stack.supabase_server.inject(Fault("*", status=302, headers={"Location": f"{stack.platform_server.url}/"}))
    assert get(upstream, stack).status == 302
    assert len(stack.platform_server.received) == 0


def test_an_answer_over_a_mebibyte_is_refused(stack: Stack, upstream: Upstream) -> None:
    stack.supabase_server.inject(Fault("*", status=200, body=b"x" * (1024 * 1024 + 1)))
    with pytest.raises(UpstreamBroken, match="more than 1048576 bytes"):
        get(upstream, stack, repeatable=False)


def test_connections_are_kept(stack: Stack, upstream: Upstream) -> None:
    for _ in range(5):
        get(upstream, stack)
    assert stack.supabase_server.connections_accepted == 1


def _arrived(stack: Stack, number: int) -> None:
    """Waits until the server has got so many calls; fails where they do not come."""
    give_up = time.monotonic() + 5
    while stack.supabase_server.count("auth.health") < number:
        assert time.monotonic() < give_up, "the request is not under way"
        time.sleep(0.005)


def test_overlapping_requests_are_one_round_trip() -> None:
    from wpp.clock import Clock

    seconds = [0.0]
    trace = Trace(Clock(monotonic=lambda: seconds[0]))
    first = trace.begin()
    second = trace.begin()
    seconds[0] = 1
    trace.end(Request("platform", "status", "GET", "x"), first)
    seconds[0] = 2
    trace.end(Request("platform", "qr", "GET", "x"), second)
    third = trace.begin()
    seconds[0] = 5
    trace.end(Request("platform", "start", "POST", "x"), third)
    assert (len(trace.requests), trace.round_trips, trace.waited) == (3, 2, 5.0)
