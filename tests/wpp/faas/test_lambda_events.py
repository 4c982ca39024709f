"""The Lambda adapter's part alone: which request an event is, and the event that an answer becomes."""

from __future__ import annotations

import base64
import json
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.function_calls import logged, start_process, succeed, token
from wpp.faas import aws_lambda
from wpp.faas.cors import cors_headers
from wpp.faas.function import Call, Function, Result, current_runtime
from wpp.faas.messages import MAX_BODY_BYTES, Answer, Request

if TYPE_CHECKING:
    from wpp.runtime import Invocation


class Context:
    aws_request_id = "8f507cfc-xmpl"

    def __init__(self, milliseconds: int = 29_000) -> None:
        self._milliseconds = milliseconds

    def get_remaining_time_in_millis(self) -> int:
        return self._milliseconds


@pytest.fixture(autouse=True)
def _process(monkeypatch: pytest.MonkeyPatch) -> None:
    start_process(monkeypatch)


def event(method: str = "POST", **fields: Any) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {token()}"}
    return {"requestContext": {"http": {"method": method}}, "headers": headers, **fields}


def _echo(_: Invocation, call: Call) -> Result:
    return Result({"got": dict(call.body)})


def served(event: Any) -> tuple[int, Any]:
    answer = aws_lambda.serve(Function("wpp-echo", _echo, answers_get=True), event, Context())
    return answer["statusCode"], json.loads(answer["body"])


def code_of(event: Any) -> tuple[int, str]:
    status, body = served(event)
    return status, body["code"]


def test_an_answer_is_an_event_of_text() -> None:
    answer = aws_lambda.serve(Function("wpp-echo", _echo), event(body='{"name": "São"}'), Context())
    assert answer["headers"].pop("Server-Timing")
    assert answer == {
        "statusCode": 200,
        "headers": {
            "Content-Type": "application/json",
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            **cors_headers("*"),
            "X-Request-Id": "8f507cfc-xmpl",
        },
        "body": '{"success":true,"got":{"name":"São"}}',
        "isBase64Encoded": False,
    }


def test_the_parameters_of_an_address_are_those_of_a_get() -> None:
    found = served(event("GET", queryStringParameters={"wait": "1", "odd": None}))
    assert found == (200, {"success": True, "got": {"wait": "1"}})


@pytest.mark.parametrize("parameters", [None, {}, [], "wait=1", {"wait": 1}])
def test_a_get_without_parameters_tells_the_version(parameters: object) -> None:
    found = served(event("GET", queryStringParameters=parameters))
    assert found == (200, {"success": True, "function": "wpp-echo", "version": "source"})


def test_an_event_that_is_not_a_request_is_logged_as_what_it_probably_is() -> None:
    with logged() as lines:
        assert code_of({"httpMethod": "POST"}) == (405, "method_not_allowed")
    assert lines[0] == {
        "level": "ERROR",
        "message": "the event is not an HTTP request of payload format 2.0; is the integration set to 1.0?",
    }


def test_the_method_of_an_event_may_be_in_lower_case() -> None:
    assert served(event("post"))[0] == 200


@pytest.mark.parametrize("size", [MAX_BODY_BYTES, MAX_BODY_BYTES + 1])
@pytest.mark.parametrize("is_base64", [False, True])
def test_a_body_may_have_64_kib(size: int, *, is_base64: bool) -> None:
    body = b"{}".ljust(size)
    text = base64.b64encode(body).decode() if is_base64 else body.decode()
    assert served(event(body=text, isBase64Encoded=is_base64))[0] == (200 if size == MAX_BODY_BYTES else 413)


@pytest.mark.parametrize("size", [2 * MAX_BODY_BYTES + 1, 6_000_000])
def test_a_body_that_is_too_large_in_any_encoding_is_not_decoded(size: int) -> None:
    assert code_of(event(body="!" * size, isBase64Encoded=True)) == (413, "body_too_large")


@pytest.mark.parametrize("body", ["e30", "e3!0=", "{}", "e30=\n", "é"])
def test_base64_that_is_not_well_formed_is_a_bad_body(body: str) -> None:
    assert code_of(event(body=body, isBase64Encoded=True)) == (400, "bad_request")


@pytest.mark.parametrize("body", [None, "", 1, {}, []])
def test_a_body_that_is_not_a_text_is_empty(body: object) -> None:
    assert served(event(body=body)) == (200, {"success": True, "got": {}})


def test_what_an_event_says_is_all_that_a_function_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    def respond(_: Function, request: Request) -> Answer:
        requests.append(request)
        return Answer(204, {})

    requests: list[Request] = []
    monkeypatch.setattr(aws_lambda, "respond", respond)
    given = event(body="e30=", isBase64Encoded=True, queryStringParameters={"a": "b"}, rawPath="/x", cookies=["c=d"])
    aws_lambda.serve(Function("wpp-echo", succeed), given, Context(milliseconds=2500))
    headers = {"authorization": given["headers"]["Authorization"]}
    assert requests == [Request("POST", headers, b"{}", {"a": "b"}, "8f507cfc-xmpl", 2.5)]


# While an instance starts


@pytest.fixture
def runtime_of_lambda(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is to be called after each restore."""
    hooks: list[Any] = []
    module = ModuleType("snapshot_restore_py")
    vars(module)["register_after_restore"] = hooks.append
    monkeypatch.setitem(sys.modules, "snapshot_restore_py", module)
    monkeypatch.setenv("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001")
    return hooks


def test_an_instance_that_is_restored_from_a_snapshot_forgets_what_it_knew(runtime_of_lambda: list[Any]) -> None:
    aws_lambda.handler(Function("wpp-echo", succeed))
    current_runtime().memory.connected.put("key", value=True)
    (after_restore,) = runtime_of_lambda
    after_restore()
    assert current_runtime().memory.connected.get("key") is None


@pytest.mark.usefixtures("runtime_of_lambda")
def test_on_lambda_each_call_is_a_line_for_cloudwatch(capsys: pytest.CaptureFixture[str]) -> None:
    handler = aws_lambda.handler(Function("wpp-echo", succeed))
    assert handler(event(), Context())["statusCode"] == 200
    (line,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (line["function"], line["code"], line["calls"]) == ("wpp-echo", "ok", 1)


def test_a_runtime_without_snapshots_has_no_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "snapshot_restore_py", None)  # importing it fails
    monkeypatch.setenv("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001")
    assert aws_lambda.handler(Function("wpp-echo", succeed))(event(), Context())["statusCode"] == 200


def test_elsewhere_nothing_is_prepared_and_no_line_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("WPP_SECRET")
    handler = aws_lambda.handler(Function("wpp-echo", succeed))
    assert handler(event(), Context())["statusCode"] == 500
    assert capsys.readouterr().out == ""
