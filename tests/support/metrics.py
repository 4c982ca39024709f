"""What is counted of calls and upstream requests: by /metrics, by the log, and by the systems themselves."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import requests
from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from emulator.stack import Stack

Counts = Counter[tuple[str, ...]]


def samples(url: str, name: str, *labels: str) -> Counts:
    """Of one metric by the values of these labels."""
    found: Counts = Counter()
    for family in text_string_to_metric_families(requests.get(url, timeout=5).text):
        for sample in family.samples:
            if sample.name == name and sample.value:
                found[tuple(sample.labels[label] for label in labels)] += int(sample.value)
    return found


def logged_calls(output: str) -> Counts:
    """By function, status and code."""
    return Counter((one["function"], str(one["status"]), one.get("code", "ok")) for one in _answered(output))


def logged_requests(output: str) -> Counts:
    """By system, call and result."""
    found: Counts = Counter()
    for one in _answered(output):
        for request in filter(None, one["upstream"].split(", ")):
            name, result, _ = request.split(" ")
            found[(*name.split(".", 1), result)] += 1
    return found


def _answered(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines() if '"answered"' in line]


def received(stack: Stack) -> Counts:
    """By system, call and status; what was not answered is `broken`."""
    servers = {"supabase": stack.supabase_server, "platform": stack.platform_server}
    return Counter(
        (system, one.call, str(one.status) if one.status else "broken")
        for system, server in servers.items()
        for one in server.received
    )
