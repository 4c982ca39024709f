"""What the functions write: JSON lines with the facts of each call."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from emulator.faults import Fault
from tests.support.callers import CREATE

if TYPE_CHECKING:
    from tests.support.callers import Caller


def lines(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def lines_of(caller: Caller, request_id: str) -> list[dict[str, Any]]:
    return [line for line in lines(caller.processes[CREATE].output()) if line.get("request_id") == request_id]


def test_a_call_ends_in_one_json_line_with_its_facts(caller: Caller) -> None:
    answer = caller.create(X_Request_Id="my-request-1")

    *before, line = lines_of(caller, "my-request-1")
    assert [one["message"] for one in before] == ["client created"]
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


def test_the_line_of_a_call_names_each_upstream_request_with_its_result(caller: Caller) -> None:
    caller.create()
    caller.stack.platform_server.inject(Fault("status", status=503, times=1))
    caller.stack.platform_server.inject(Fault("qr", "reset", times=1))
    caller.create(X_Request_Id="with-faults")
    (line,) = lines_of(caller, "with-faults")
    calls = [call.rsplit(" ", 1)[0] for call in line["upstream"].split(", ")]
    assert {"supabase.auth.user 200", "platform.status 503", "platform.status 200", "platform.qr broken"} <= set(calls)
    assert len(calls) == line["upstream_calls"]
    assert all(float(call.rsplit(" ", 1)[1]) > 0 for call in line["upstream"].split(", "))


def test_a_failed_call_is_one_line_of_its_level_with_the_reason(caller: Caller) -> None:
    caller.stack.platform_server.inject(Fault("create", status=401, times=None))
    caller.create(X_Request_Id="our-fault")
    (failed,) = lines_of(caller, "our-fault")
    assert (failed["level"], failed["status"], failed["code"]) == ("ERROR", 502, "platform_refused")
    assert "is WPP_SECRET right?" in failed["reason"]

    caller.token = "a.b.c"
    caller.create(X_Request_Id="their-fault")
    (refused,) = lines_of(caller, "their-fault")
    assert (refused["level"], refused["status"], refused["code"]) == ("WARNING", 401, "invalid_token")
    assert refused["reason"] not in ("", "Unauthorized")


TRACE = "0af7651916cd43dd8448eb211c80319c"


def test_the_trace_of_the_caller_is_continued(caller: Caller) -> None:
    parent = f"00-{TRACE}-b7ad6b7169203331-01"
    answer = caller.create(X_Request_Id="traced", Traceparent=parent, Tracestate="vendor=a:1,other=b")
    line = lines_of(caller, "traced")[-1]
    assert (answer.headers["X-Trace-Id"], line["trace_id"]) == (TRACE, TRACE)
    servers = (caller.stack.supabase_server, caller.stack.platform_server)
    sent = [received.request.headers for server in servers for received in server.received]
    assert len(sent) == line["upstream_calls"]
    assert {headers["traceparent"] for headers in sent} == {f"00-{TRACE}-{line['span_id']}-01"}
    assert line["span_id"] != "b7ad6b7169203331"
    assert {headers["tracestate"] for headers in sent} == {"vendor=a:1,other=b"}


def test_without_a_trace_none_is_begun(caller: Caller) -> None:
    answer = caller.create(X_Request_Id="untraced", Tracestate="vendor=a:1")
    assert "X-Trace-Id" not in answer.headers
    assert "trace_id" not in lines_of(caller, "untraced")[-1]
    servers = (caller.stack.supabase_server, caller.stack.platform_server)
    sent = [received.request.headers for server in servers for received in server.received]
    assert not any({"traceparent", "tracestate"} & set(headers) for headers in sent)
