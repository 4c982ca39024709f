"""A call's line for CloudWatch."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from wpp.clock import Clock
from wpp.faas.embedded_metrics import NAMESPACE, EmbeddedMetrics, embedded, is_failure
from wpp.faas.reports import CallReport
from wpp.http.trace import Trace, TracedRequest

if TYPE_CHECKING:
    import pytest


def report(*requests: TracedRequest, status: int = 200, code: str | None = None, shows_qr: bool = False) -> CallReport:
    trace = Trace(Clock())
    trace.requests.extend(requests)
    return CallReport("wpp-create", status, code, 0.25, trace, shows_qr)


def test_the_line_of_a_call_is_in_the_form_that_cloudwatch_reads() -> None:
    requests = [
        TracedRequest("supabase", "rest.GET.profiles", "200", 0.01234),
        TracedRequest("platform", "qr", "503", 0.1),
        TracedRequest("platform", "qr", "200", 0.20006),
    ]
    call = report(*requests, shows_qr=True)._replace(seconds=0.40026)
    call.trace.events["restart"] += 2
    call.trace.session_state = "qr_required"
    assert embedded(call, 1_800_000_000.5) == {
        "_aws": {
            "Timestamp": 1_800_000_000_500,
            "CloudWatchMetrics": [
                {
                    "Namespace": "wpp-functions",
                    "Dimensions": [["function"]],
                    "Metrics": [
                        {"Name": "calls", "Unit": "Count"},
                        {"Name": "failed", "Unit": "Count"},
                        {"Name": "restart", "Unit": "Count"},
                        {"Name": "state_qr_required", "Unit": "Count"},
                        {"Name": "supabase_failed", "Unit": "Count"},
                        {"Name": "platform_failed", "Unit": "Count"},
                        {"Name": "duration", "Unit": "Milliseconds"},
                        {"Name": "qr", "Unit": "Milliseconds"},
                        {"Name": "supabase", "Unit": "Milliseconds"},
                        {"Name": "platform", "Unit": "Milliseconds"},
                    ],
                },
                {
                    "Namespace": "wpp-functions",
                    "Dimensions": [["function", "code"]],
                    "Metrics": [{"Name": "calls", "Unit": "Count"}],
                },
            ],
        },
        "function": "wpp-create",
        "code": "ok",
        "calls": 1,
        "failed": 0,
        "restart": 2,
        "state_qr_required": 1,
        "supabase_failed": 0,
        "platform_failed": 1,
        "duration": 400.3,
        "qr": 400.3,
        "supabase": [12.3],
        "platform": [100.0, 200.1],
    }


def test_each_call_is_a_line_of_standard_output_with_the_time_of_its_answer(
    capsys: pytest.CaptureFixture[str],
) -> None:
    began = time.time()
    metrics = EmbeddedMetrics()
    for call in (report(), report(status=500, code="internal_error")):
        metrics.began("wpp-create")
        metrics.answered(call)
    lines = [json.loads(line) for line in capsys.readouterr().out.split("\n")[:-1]]
    assert [line["code"] for line in lines] == ["ok", "internal_error"]
    for line in lines:
        assert int(began * 1000) <= line["_aws"].pop("Timestamp") <= time.time() * 1000


def test_each_metric_that_is_announced_is_there_and_has_at_most_100_values() -> None:
    many = [TracedRequest("platform", "qr", "200", 0.01)] * 130
    line = embedded(report(*many, shows_qr=True), 1_800_000_000.5)
    directives = line["_aws"]["CloudWatchMetrics"]
    assert {directive["Namespace"] for directive in directives} == {NAMESPACE}
    for directive in directives:
        assert len(directive["Metrics"]) <= 100
        for name in (*directive["Dimensions"][0], *(metric["Name"] for metric in directive["Metrics"])):
            assert name in line
    assert line["_aws"]["Timestamp"] == 1_800_000_000_500
    assert (len(line["platform"]), line["qr"], line["duration"]) == (100, 250.0, 250.0)
    assert "supabase" not in line


def test_failures_are_counted_by_who_failed() -> None:
    broken = [TracedRequest("platform", "status", result, 1.0) for result in ("503", "timeout", "200")]
    line = embedded(report(*broken, status=502, code="platform_unavailable"), 0)
    assert (line["failed"], line["code"], line["platform_failed"], line["calls"]) == (1, "platform_unavailable", 2, 1)
    assert [embedded(report(status=status), 0)["failed"] for status in (200, 401, 499, 500)] == [0, 0, 0, 1]


def test_what_happened_and_the_state_are_counted() -> None:
    found = report()
    found.trace.events["restart"] += 2
    found.trace.session_state = "connected"
    line = embedded(found, 0)
    assert (line["restart"], line["state_connected"], line["code"]) == (2, 1, "ok")


def test_which_results_of_a_request_are_failures() -> None:
    results = ("200", "201", "204", "302", "401", "404", "429", "500", "504", "timeout", "broken", "too_large")
    assert [result for result in results if is_failure(result)] == list(results[6:])
