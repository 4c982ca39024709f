"""/metrics of the server of one's own, over several workers, beside what its log and the systems behind it counted."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import TYPE_CHECKING, NamedTuple

import pytest
import requests

from emulator.faults import Fault
from emulator.processes import ROOT, FunctionProcess, free_port
from tests.support.callers import new_caller
from tests.support.metrics import Counts, logged_calls, logged_requests, received, samples
from tests.support.servers import start_server, wait_for, workers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from emulator.stack import Stack

pytestmark = pytest.mark.slow
CREATE = "/functions/v1/wpp-create"


class Metered(NamedTuple):
    server: FunctionProcess
    metrics_url: str

    def samples(self, name: str, *labels: str) -> Counts:
        return samples(self.metrics_url, name, *labels)


@pytest.fixture
def metered(stack: Stack, tmp_path: Path) -> Iterator[Metered]:
    metrics_port = free_port()
    env = {"METRICS_PORT": str(metrics_port), "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    binds = ["--bind", f"127.0.0.1:{metrics_port}"]
    with start_server(ROOT / "functions", {**stack.environment(), **env}, binds, workers=2) as server:
        yield Metered(server, f"http://127.0.0.1:{metrics_port}/metrics")


def test_the_metrics_agree_with_the_log_and_with_what_the_systems_counted(metered: Metered, stack: Stack) -> None:
    url = metered.server.url + CREATE
    callers = [new_caller(stack, {}) for _ in range(6)]
    stack.platform.settings.qr_delay = 0
    stack.supabase_server.clear()
    stack.platform_server.clear()
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda caller: caller.call_at(url), callers))
    stack.platform_server.inject(Fault("status", status=503, times=3))
    for caller in callers:
        caller.call_at(url)
    requests.post(url, headers={"Authorization": "Bearer a.b.c"}, timeout=5)

    answered = logged_calls(metered.server.output())
    assert answered[("wpp-create", "401", "invalid_token")] == 1
    assert metered.samples("wpp_calls_total", "function", "status", "code") == answered
    arrived = received(stack)
    assert arrived[("platform", "status", "503")] == 3
    assert metered.samples("wpp_upstream_requests_total", "system", "call", "result") == arrived
    assert logged_requests(metered.server.output()) == arrived
    assert metered.samples("wpp_events_total", "event")[("client_created",)] == 6
    assert metered.samples("wpp_qr_seconds_count", "function")[("wpp-create",)] == 12
    assert metered.samples("wpp_session_states_total", "state")[("qr_required",)] == 12
    assert metered.samples("wpp_calls_in_progress", "function") == {}

    counted = metered.samples("wpp_calls_total", "function")
    for worker in workers(metered.server):
        os.kill(int(worker), signal.SIGKILL)
    wait_for(lambda: requests.get(metered.metrics_url, timeout=5).ok)
    assert metered.samples("wpp_calls_total", "function") == counted


def test_a_host_header_does_not_open_them_to_a_unix_socket(stack: Stack, tmp_path: Path) -> None:
    port = free_port()
    env = {**stack.environment(), "METRICS_PORT": str(port), "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    # Shorter than tmp_path: the path of a socket has about 100 characters at most.
    with tempfile.TemporaryDirectory() as folder:
        binds = ["--bind", f"127.0.0.1:{port}", "--bind", f"unix:{folder}/socket"]
        with start_server(ROOT / "functions", env, binds), closing(socket.socket(socket.AF_UNIX)) as connection:
            connection.settimeout(10)
            connection.connect(f"{folder}/socket")
            connection.sendall(f"GET /metrics HTTP/1.1\r\nHost: x:{port}\r\n\r\n".encode())
            with closing(http.client.HTTPResponse(connection)) as answer:
                answer.begin()
                assert answer.status == 404
            assert requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).status_code == 200


def test_who_waits_is_counted_until_answered_or_until_the_worker_ends(metered: Metered, stack: Stack) -> None:
    url = metered.server.url + "/functions/v1/wpp-provision"
    stack.platform.settings.qr_delay = 1000
    caller = new_caller(stack, {})
    waiting = {("wpp-provision",): 1}
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(
            lambda: requests.post(url, headers={"Authorization": f"Bearer {caller.token}"}, timeout=30)
        )
        wait_for(lambda: metered.samples("wpp_calls_in_progress", "function") == waiting)
        for worker in workers(metered.server):
            os.kill(int(worker), signal.SIGKILL)
        with pytest.raises(requests.ConnectionError):
            answer.result()
    wait_for(lambda: metered.samples("wpp_calls_in_progress", "function") == {})


def test_a_call_that_the_server_ends_is_counted_and_no_longer_waits(stack: Stack, tmp_path: Path) -> None:
    metrics_port = free_port()
    env = {"METRICS_PORT": str(metrics_port), "PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "REQUEST_LIMIT_SECONDS": "1"}
    stack.platform.settings.qr_delay = 1000
    caller = new_caller(stack, {})
    with start_server(
        ROOT / "functions", {**stack.environment(), **env}, ["--bind", f"127.0.0.1:{metrics_port}"]
    ) as server:
        metered = Metered(server, f"http://127.0.0.1:{metrics_port}/metrics")
        with suppress(requests.ConnectionError):
            caller.call_at(f"{server.url}/functions/v1/wpp-provision")
        ended = {("wpp-provision", "500", "ended"): 1}
        wait_for(lambda: metered.samples("wpp_calls_total", "function", "status", "code") == ended)
        assert metered.samples("wpp_calls_in_progress", "function") == {}
        assert logged_calls(server.output()) == ended


def test_the_metrics_are_not_where_the_gateway_leads(metered: Metered) -> None:
    paths = ["/metrics", "/functions/v1/metrics", "/functions/v1/wpp-create/metrics"]
    assert [requests.get(metered.server.url + path, timeout=5).status_code for path in paths] == [404, 404, 404]


def test_readiness_is_another_address_than_liveness(metered: Metered, stack: Stack) -> None:
    stack.platform_server.inject(Fault("*", status=503, times=None))
    ready = requests.get(metered.server.url + "/readyz", timeout=10)
    assert (ready.status_code, ready.json()) == (
        503,
        {"success": False, "supabase": "ok", "platform": "platform_unavailable"},
    )
    assert requests.get(metered.server.url + "/healthz", timeout=5).status_code == 200
