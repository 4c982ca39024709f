"""Metrics of a call as a line of CloudWatch's embedded metric format: CloudWatch reads them off the log, without a request.

docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wpp.faas.reports import CallReport

NAMESPACE = "wpp-functions"
_MOST_VALUES = 100  # that a metric may have in one line


class EmbeddedMetrics:
    """Written to standard output, whatever LOG_LEVEL is. How many calls are under way is a metric of Lambda's own."""

    def began(self, function: str) -> None:
        pass

    def answered(self, report: CallReport) -> None:
        sys.stdout.write(json.dumps(embedded(report, time.time())) + "\n")
        sys.stdout.flush()


def embedded(report: CallReport, now: float) -> dict[str, Any]:
    """`now` is in seconds since 1970."""
    counts = {"calls": 1, "failed": int(report.status >= 500), **report.trace.events}
    if report.trace.session_state is not None:
        counts[f"state_{report.trace.session_state}"] = 1
    times: dict[str, Any] = {"duration": round(report.seconds * 1000, 1)}
    if report.shows_qr:
        times["qr"] = times["duration"]
    for system in ("supabase", "platform"):
        requests = [request for request in report.trace.requests if request.system == system][:_MOST_VALUES]
        if requests:
            times[system] = [round(request.duration * 1000, 1) for request in requests]
            counts[f"{system}_failed"] = sum(is_failure(request.result) for request in requests)
    return {
        "_aws": {
            "Timestamp": int(now * 1000),
            "CloudWatchMetrics": [
                {
                    "Namespace": NAMESPACE,
                    "Dimensions": [["function"]],
                    "Metrics": [
                        *({"Name": name, "Unit": "Count"} for name in counts),
                        *({"Name": name, "Unit": "Milliseconds"} for name in times),
                    ],
                },
                {
                    "Namespace": NAMESPACE,
                    "Dimensions": [["function", "code"]],
                    "Metrics": [{"Name": "calls", "Unit": "Count"}],
                },
            ],
        },
        "function": report.function,
        "code": report.code or "ok",
        **counts,
        **times,
    }


def is_failure(result: str) -> bool:
    """Of an upstream request: no answer, too many requests, or an error of the upstream's own."""
    return not result.isdigit() or result == "429" or result >= "500"
