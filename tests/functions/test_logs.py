"""What the functions write: JSON lines with the facts of each call."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.support.callers import CREATE

if TYPE_CHECKING:
    from tests.support.callers import Caller


def lines(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def test_a_call_ends_in_one_json_line_with_its_facts(caller: Caller) -> None:
    answer = caller.create(X_Request_Id="my-request-1")

    (line,) = [
        line
        for line in lines(caller.processes[CREATE].output())
        if line.get("request_id") == "my-request-1" and line["message"] == "answered"
    ]
    assert line["function"] == "wpp-create"
    assert line["organization"] == caller.organization_id
    assert line["level"] == "INFO"
    assert line["status"] == 200
    assert 1 <= line["round_trips"] <= line["upstream_calls"]
    assert line["duration_ms"] >= line["upstream_ms"] > 0
    assert line["time"].endswith("+00:00")
    assert answer.headers["X-Request-Id"] == "my-request-1"
    servers = (caller.stack.supabase_server, caller.stack.platform_server)
    passed_on = [received.request.headers.get("x-request-id") for server in servers for received in server.received]
    assert passed_on == ["my-request-1"] * line["upstream_calls"]
