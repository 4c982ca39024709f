"""Slow, idle and rude clients of the server of one's own, and upstreams over TLS, as the shipped command line meets them."""

from __future__ import annotations

import http.client
import socket
import time
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest
import requests

from emulator.processes import ROOT, FunctionProcess
from tests.support.callers import Caller, new_caller
from tests.support.servers import Calling, reload, start_server, wait_for, workers
from tests.support.tls_servers import Authority, relaying, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from emulator.stack import Stack

pytestmark = pytest.mark.slow
CREATE = "/functions/v1/wpp-create"


@pytest.fixture(scope="module")
def server(_stack: Stack) -> Iterator[FunctionProcess]:
    with start_server(ROOT / "functions", _stack.environment()) as process:
        yield process


@pytest.fixture
def user(stack: Stack) -> Caller:
    return new_caller(stack, {})


def begun(server: FunctionProcess, *headers: str, body: bytes = b"") -> socket.socket:
    """A connection with a POST whose head is there, and of its body as much as `body`."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    head = "".join(f"{line}\r\n" for line in (f"POST {CREATE} HTTP/1.1", "Host: localhost", *headers))
    connection.sendall(head.encode() + b"\r\n" + body)
    return connection


def answer(connection: socket.socket) -> tuple[int, bytes]:
    with closing(http.client.HTTPResponse(connection)) as response:
        response.begin()
        return response.status, response.read()


@pytest.mark.parametrize("framing", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("authorization", [None, "Bearer a.b.c", "Basic x"])
def test_who_brings_no_valid_token_is_refused_before_the_body_is_read(
    server: FunctionProcess, framing: str, authorization: str | None
) -> None:
    headers = [framing] if authorization is None else [framing, f"Authorization: {authorization}"]
    with begun(server, *headers) as connection:
        connection.settimeout(5)
        assert answer(connection)[0] == 401


def test_dripping_clients_hold_up_nobody(server: FunctionProcess, user: Caller) -> None:
    with ExitStack() as opened:
        for number in range(150):
            token = f"Authorization: Bearer {user.token}" if number % 2 else "X-Nothing: 1"
            opened.enter_context(begun(server, "Content-Length: 60000", token, body=b"{"))
        # Sooner than the 10 seconds after which the first of them is sent away; how soon is measured by the benchmark.
        assert requests.get(f"{server.url}/healthz", timeout=4).ok
        assert requests.post(server.url + CREATE, headers=authorized(user), timeout=4).ok


def test_a_body_that_does_not_arrive_in_time_is_not_waited_for(server: FunctionProcess, user: Caller) -> None:
    with ExitStack() as opened:
        connections = [
            opened.enter_context(begun(server, framing, f"Authorization: Bearer {user.token}"))
            for framing in ("Content-Length: 1000", "Transfer-Encoding: chunked")
        ]
        for connection in connections:
            connection.settimeout(15)
            status, body = answer(connection)
            assert status == 408
            assert b'"code":"body_incomplete"' in body
            assert connection.recv(1) == b""  # nobody can tell where the next request would begin


def test_malformed_chunks_are_the_callers_fault(server: FunctionProcess, user: Caller) -> None:
    headers = ["Transfer-Encoding: chunked", f"Authorization: Bearer {user.token}"]
    with begun(server, *headers, body=b"zz\r\n{}\r\n0\r\n\r\n") as connection:
        status, body = answer(connection)
        assert (status, b'"code":"bad_request"' in body) == (400, True)
        assert connection.recv(1) == b""


def test_a_head_that_is_too_large_is_refused(server: FunctionProcess) -> None:
    with begun(server, *(f"X-{n}: 1" for n in range(70))) as connection:
        assert answer(connection)[0] == 431
    with begun(server, "X-Long: " + "a" * 9000) as connection:
        assert answer(connection)[0] == 431


def test_idle_connections_are_answered_after_a_reload_and_do_not_keep_the_old_workers() -> None:
    with start_server(ROOT / "functions", workers=2) as server, ExitStack() as opened:
        idle = [
            opened.enter_context(closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)))
            for _ in range(20)
        ]
        for connection in idle:
            get(connection)
        before = workers(server)
        reload(server)
        wait_for(lambda: workers(server) - before)
        time.sleep(1)  # the old workers stop: they accept no new connections any more
        assert [get(connection) for connection in idle[:10]] == [200] * 10
        wait_for(lambda: not workers(server) & before, seconds=15)


def test_upstreams_over_tls_are_reached_before_and_after_a_reload(stack: Stack, tmp_path: Path) -> None:
    """gevent has to patch `ssl` before anything uses it."""
    user = new_caller(stack, {})
    authority = Authority(tmp_path)
    context = authority.context("127.0.0.1")
    with (
        serving(relaying(stack.supabase_server.port), context, reads_head=False) as supabase,
        serving(relaying(stack.platform_server.port), context, reads_head=False) as platform,
    ):
        env = {"SUPABASE_URL": supabase.url, "WPP_BASE_URL": platform.url, "SSL_CERT_FILE": str(authority.path)}
        with start_server(ROOT / "functions", stack.environment() | env, workers=2) as server:
            with Calling(f"{server.url}{CREATE}") as calling:
                first = requests.post(server.url + CREATE, headers=authorized(user), timeout=20)
                before = workers(server)
                reload(server)

                def old_workers_are_gone() -> bool:
                    assert requests.post(server.url + CREATE, headers=authorized(user), timeout=20).ok
                    return not workers(server) & before

                wait_for(old_workers_are_gone)
            second = requests.post(server.url + CREATE, headers=authorized(user), timeout=20)
            log = server.output()

    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json()["session"] == second.json()["session"] == user.row()["settings"]["wppAccountNumber"]
    assert calling.failures == []
    assert "MonkeyPatchWarning" not in log


def authorized(user: Caller) -> dict[str, str]:
    return {"Authorization": f"Bearer {user.token}"}


def get(connection: http.client.HTTPConnection) -> int:
    connection.request("GET", CREATE)
    response = connection.getresponse()
    response.read()
    return response.status
