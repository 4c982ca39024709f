"""The page that Prometheus reads: of one worker, and of several that share a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry, generate_latest, values
from prometheus_client.multiprocess import mark_process_dead

from wpp.clock import Clock
from wpp.faas.prometheus import Metrics, exposition
from wpp.faas.reports import CallReport
from wpp.http.trace import Trace, TracedRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PAGE = """\
# HELP wpp_calls_total Calls answered, by function, HTTP status and code.
# TYPE wpp_calls_total counter
wpp_calls_total{code="ok",function="wpp-create",status="200"} 1.0
wpp_calls_total{code="invalid_token",function="wpp-create",status="401"} 2.0
# HELP wpp_call_seconds From a call to its answer.
# TYPE wpp_call_seconds histogram
wpp_call_seconds_bucket{function="wpp-create",le="0.025"} 0.0
wpp_call_seconds_bucket{function="wpp-create",le="0.05"} 0.0
wpp_call_seconds_bucket{function="wpp-create",le="0.1"} 0.0
wpp_call_seconds_bucket{function="wpp-create",le="0.25"} 2.0
wpp_call_seconds_bucket{function="wpp-create",le="0.5"} 2.0
wpp_call_seconds_bucket{function="wpp-create",le="1.0"} 2.0
wpp_call_seconds_bucket{function="wpp-create",le="1.5"} 2.0
wpp_call_seconds_bucket{function="wpp-create",le="2.0"} 2.0
wpp_call_seconds_bucket{function="wpp-create",le="3.0"} 3.0
wpp_call_seconds_bucket{function="wpp-create",le="5.0"} 3.0
wpp_call_seconds_bucket{function="wpp-create",le="10.0"} 3.0
wpp_call_seconds_bucket{function="wpp-create",le="20.0"} 3.0
wpp_call_seconds_bucket{function="wpp-create",le="30.0"} 3.0
wpp_call_seconds_bucket{function="wpp-create",le="+Inf"} 3.0
wpp_call_seconds_count{function="wpp-create"} 3.0
wpp_call_seconds_sum{function="wpp-create"} 3.0
# HELP wpp_qr_seconds From a call to the answer that shows a QR.
# TYPE wpp_qr_seconds histogram
wpp_qr_seconds_bucket{function="wpp-create",le="0.025"} 0.0
wpp_qr_seconds_bucket{function="wpp-create",le="0.05"} 0.0
wpp_qr_seconds_bucket{function="wpp-create",le="0.1"} 0.0
wpp_qr_seconds_bucket{function="wpp-create",le="0.25"} 0.0
wpp_qr_seconds_bucket{function="wpp-create",le="0.5"} 0.0
wpp_qr_seconds_bucket{function="wpp-create",le="1.0"} 0.0
wpp_qr_seconds_bucket{function="wpp-create",le="1.5"} 0.0
wpp_qr_seconds_bucket{function="wpp-create",le="2.0"} 0.0
wpp_qr_seconds_bucket{function="wpp-create",le="3.0"} 1.0
wpp_qr_seconds_bucket{function="wpp-create",le="5.0"} 1.0
wpp_qr_seconds_bucket{function="wpp-create",le="10.0"} 1.0
wpp_qr_seconds_bucket{function="wpp-create",le="20.0"} 1.0
wpp_qr_seconds_bucket{function="wpp-create",le="30.0"} 1.0
wpp_qr_seconds_bucket{function="wpp-create",le="+Inf"} 1.0
wpp_qr_seconds_count{function="wpp-create"} 1.0
wpp_qr_seconds_sum{function="wpp-create"} 2.5
# HELP wpp_calls_in_progress Calls that are not answered yet: people who wait.
# TYPE wpp_calls_in_progress gauge
wpp_calls_in_progress{function="wpp-create"} 1.0
# HELP wpp_upstream_requests_total Requests to Supabase and WPP Platform.
# TYPE wpp_upstream_requests_total counter
wpp_upstream_requests_total{call="qr",result="200",system="platform"} 1.0
wpp_upstream_requests_total{call="qr",result="timeout",system="platform"} 1.0
# HELP wpp_upstream_seconds From a request to its response.
# TYPE wpp_upstream_seconds histogram
wpp_upstream_seconds_bucket{call="qr",le="0.025",system="platform"} 0.0
wpp_upstream_seconds_bucket{call="qr",le="0.05",system="platform"} 0.0
wpp_upstream_seconds_bucket{call="qr",le="0.1",system="platform"} 0.0
wpp_upstream_seconds_bucket{call="qr",le="0.25",system="platform"} 0.0
wpp_upstream_seconds_bucket{call="qr",le="0.5",system="platform"} 1.0
wpp_upstream_seconds_bucket{call="qr",le="1.0",system="platform"} 1.0
wpp_upstream_seconds_bucket{call="qr",le="1.5",system="platform"} 1.0
wpp_upstream_seconds_bucket{call="qr",le="2.0",system="platform"} 1.0
wpp_upstream_seconds_bucket{call="qr",le="3.0",system="platform"} 1.0
wpp_upstream_seconds_bucket{call="qr",le="5.0",system="platform"} 1.0
wpp_upstream_seconds_bucket{call="qr",le="10.0",system="platform"} 2.0
wpp_upstream_seconds_bucket{call="qr",le="20.0",system="platform"} 2.0
wpp_upstream_seconds_bucket{call="qr",le="30.0",system="platform"} 2.0
wpp_upstream_seconds_bucket{call="qr",le="+Inf",system="platform"} 2.0
wpp_upstream_seconds_count{call="qr",system="platform"} 2.0
wpp_upstream_seconds_sum{call="qr",system="platform"} 8.5
# HELP wpp_events_total Clients created, sessions started and restarted, claims taken over.
# TYPE wpp_events_total counter
wpp_events_total{event="restart"} 2.0
# HELP wpp_session_states_total States of sessions that calls saw last.
# TYPE wpp_session_states_total counter
wpp_session_states_total{function="wpp-create",state="qr_required"} 1.0
"""


@pytest.fixture
def start_worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[int], Metrics]]:
    """The metrics of a worker with this process id."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))

    def start(process_id: int) -> Metrics:
        # What prometheus_client chooses by that variable when it is imported.
        monkeypatch.setattr(values, "ValueClass", values.MultiProcessValue(lambda: process_id))  # type: ignore[no-untyped-call]
        return Metrics(CollectorRegistry())

    yield start
    values.close_all_multiprocess_files()  # type: ignore[no-untyped-call]


def answer_three_of_four_calls(metrics: Metrics) -> None:
    for _ in range(4):
        metrics.began("wpp-create")
    trace = Trace(Clock())
    trace.requests += [TracedRequest("platform", "qr", "timeout", 8.0), TracedRequest("platform", "qr", "200", 0.5)]
    trace.events["restart"] += 2
    trace.session_state = "qr_required"
    metrics.answered(CallReport("wpp-create", 200, None, 2.5, trace, shows_qr=True))
    for _ in range(2):
        metrics.answered(CallReport("wpp-create", 401, "invalid_token", 0.25, Trace(Clock()), shows_qr=False))


def lines(page: str | bytes) -> list[str]:
    """In an order of ours; without those that tell since when something is counted."""
    text = page if isinstance(page, str) else page.decode()
    return sorted(line for line in text.splitlines() if "_created" not in line)


def test_a_worker_knows_its_own_calls() -> None:
    registry = CollectorRegistry()
    answer_three_of_four_calls(Metrics(registry))
    assert lines(generate_latest(registry)) == lines(PAGE)


def test_the_page_has_the_calls_of_all_workers(start_worker: Callable[[int], Metrics]) -> None:
    answer_three_of_four_calls(start_worker(1))
    assert lines(exposition()) == lines(PAGE)
    answer_three_of_four_calls(start_worker(2))
    page = lines(exposition())
    assert 'wpp_calls_total{code="invalid_token",function="wpp-create",status="401"} 4.0' in page
    assert 'wpp_call_seconds_sum{function="wpp-create"} 6.0' in page


def test_nobody_waits_for_a_worker_that_ended(start_worker: Callable[[int], Metrics]) -> None:
    for process_id, calls in ((1, 2), (2, 3)):
        metrics = start_worker(process_id)
        for _ in range(calls):
            metrics.began("wpp-provision")
    assert lines(exposition())[-1] == 'wpp_calls_in_progress{function="wpp-provision"} 5.0'
    mark_process_dead(1)  # type: ignore[no-untyped-call]
    assert lines(exposition())[-1] == 'wpp_calls_in_progress{function="wpp-provision"} 3.0'
