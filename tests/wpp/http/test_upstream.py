"""Outgoing calls: when they are repeated, how long they may take, how they are counted."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from emulator.faults import Fault
from tests.support.tls_servers import response, serving
from wpp.clock import Clock, Deadline
from wpp.errors import DeadlinePassed, UpstreamBroken, UpstreamTimeout
from wpp.http.messages import Request
from wpp.http.trace import Trace
from wpp.http.upstream import Upstream, retry_delay

if TYPE_CHECKING:
    import socket

    from emulator.stack import Stack
    from wpp.http.messages import Response
    from wpp.http.transport import Transport
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
        Fault("*", status=429, headers={"Retry-After": "\xb2"}),
    ],
    ids=lambda fault: f"{fault.action}-{fault.status}-{len(fault.headers)}",
)
def test_a_read_is_repeated_after_a_passing_fault(stack: Stack, upstream: Upstream, fault: Fault) -> None:
    stack.supabase_server.inject(fault)
    assert get(upstream, stack).status == 200
    fault.times = 1  # again, for another run of this test in the same process


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


def test_patience_is_for_the_pauses_between_attempts_too(stack: Stack, runtime: Runtime) -> None:
    pauses: list[float] = []
    upstream = Upstream(runtime.transport, Deadline(60, Clock()), Clock(sleep=pauses.append), "r")
    stack.supabase_server.inject(Fault("*", status=503, headers={"Retry-After": "5"}, times=None))
    url = f"{stack.supabase_server.url}/auth/v1/health"
    with pytest.raises(UpstreamBroken):
        upstream.send(Request("supabase", "health", "GET", url, repeatable=True, patience=4))
    assert pauses == []
    assert stack.supabase_server.count("auth.health") == 1


@pytest.mark.parametrize("action", ["hang", "drip"])
def test_a_call_never_takes_longer_than_its_timeout(stack: Stack, upstream: Upstream, action: str) -> None:
    stack.supabase_server.inject(Fault("*", action))  # type: ignore[arg-type]
    began = time.monotonic()
    with pytest.raises(UpstreamTimeout):
        get(upstream, stack, repeatable=False, timeout=0.7)
    assert 0.6 < time.monotonic() - began < 3


def test_nothing_is_sent_after_the_deadline(stack: Stack, runtime: Runtime) -> None:
    upstream = runtime.begin("test", "r", 0.1).upstream
    time.sleep(0.1)
    with pytest.raises(DeadlinePassed):
        get(upstream, stack)
    assert stack.supabase_server.count("auth.health") == 0


def test_a_server_that_cannot_be_reached_is_broken(upstream: Upstream) -> None:
    with pytest.raises(UpstreamBroken, match="cannot be reached"):
        upstream.send(Request("supabase", "x", "GET", "http://127.0.0.1:1/"))


def _ending_after_one_response(connection: socket.socket) -> None:
    connection.sendall(response(b"{}"))
    connection.recv(65536)


def test_a_read_that_met_a_kept_connection_at_its_end_is_repeated_without_a_pause(transport: Transport) -> None:
    clock = Clock(sleep=lambda _: pytest.fail("paused"))
    upstream = Upstream(transport, Deadline(8, clock), clock, "id")
    with serving(_ending_after_one_response) as server:
        request = Request("supabase", "x", "GET", server.url, repeatable=True)
        assert [upstream.send(request).status for _ in range(3)] == [200] * 3
        assert server.connections == 3
    assert len(upstream.trace.requests) == 5


def test_what_must_not_be_repeated_is_not_repeated_on_another_connection_either(transport: Transport) -> None:
    upstream = Upstream(transport, Deadline(8, Clock()), Clock(), "id")
    with serving(_ending_after_one_response) as server:
        request = Request("platform", "x", "POST", server.url)
        upstream.send(request)
        with pytest.raises(UpstreamBroken):
            upstream.send(request)
        assert server.connections == 1


def test_overlapping_requests_are_one_round_trip() -> None:
    seconds = [0.0]
    trace = Trace(Clock(monotonic=lambda: seconds[0]))
    first = trace.begin()
    second = trace.begin()
    seconds[0] = 1
    trace.end(Request("platform", "status", "GET", "x"), "200", first)
    seconds[0] = 2
    trace.end(Request("platform", "qr", "GET", "x"), "200", second)
    third = trace.begin()
    seconds[0] = 5
    trace.end(Request("platform", "start", "POST", "x"), "200", third)
    assert (len(trace.requests), trace.round_trips, trace.waited) == (3, 2, 5.0)
