"""A call's line for CloudWatch."""

from __future__ import annotations

from wpp.clock import Clock
from wpp.faas.embedded_metrics import NAMESPACE, embedded, is_failure
from wpp.faas.reports import CallReport
from wpp.http.trace import Trace, TracedRequest


def report(*requests: TracedRequest, status: int = 200, code: str | None = None, shows_qr: bool = False) -> CallReport:
    trace = Trace(Clock())
    trace.requests.extend(requests)
    return CallReport("wpp-create", status, code, 0.25, trace, shows_qr)


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
    assert embedded(report(status=401, code="invalid_token"), 0)["failed"] == 0


def test_what_happened_and_the_state_are_counted() -> None:
    found = report()
    found.trace.events["restart"] += 2
    found.trace.session_state = "connected"
    line = embedded(found, 0)
    assert (line["restart"], line["state_connected"], line["code"]) == (2, 1, "ok")


def test_which_results_of_a_request_are_failures() -> None:
    results = ("200", "201", "204", "302", "401", "404", "429", "500", "504", "timeout", "broken", "too_large")
    assert [result for result in results if is_failure(result)] == list(results[6:])
