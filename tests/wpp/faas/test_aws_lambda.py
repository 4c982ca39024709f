"""The Lambda adapter, given recorded events of the documented shape, and events of no such shape."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import uuid
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from emulator.processes import ROOT
from tests.support.callers import CONNECTING, FUNCTIONS
from wpp.faas import aws_lambda, function
from wpp.faas.function import Function, Result

if TYPE_CHECKING:
    from emulator.stack import Stack
    from tests.support.callers import Caller

EVENTS = Path(__file__).parent / "events"
POSTS = ["http_api", "http_api_base64", "http_api_null_headers", "http_api_odd_case", "function_url"]


@dataclass
class Context:
    aws_request_id: str = "8f507cfc-xmpl-4697-b07a-ac58fc914c95"
    milliseconds: int = 29_000

    def get_remaining_time_in_millis(self) -> int:
        return self.milliseconds


@dataclass
class Echo:
    """A function that keeps what it was called with."""

    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    total: float = 0.0

    def function(self) -> Function:
        def run(invocation: Any, call: Any) -> Result:
            self.body, self.headers = call.body, dict(call.headers)
            self.total = invocation.upstream.deadline.for_tidying().remaining()
            return Result({"request_id": invocation.request_id})

        return Function("wpp-echo", run)


@pytest.fixture(autouse=True)
def _process(monkeypatch: pytest.MonkeyPatch, stack: Stack) -> None:
    """The adapter in this process, as it is right after a cold start."""
    for name, value in stack.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(function, "_PROCESS", function.Process())


@pytest.fixture
def token(stack: Stack) -> str:
    user_id = stack.supabase.add_user(f"{uuid.uuid4()}@example.com")
    return stack.supabase.auth.sign(stack.supabase.auth.claims(user_id))


def recorded(name: str, token: str | None = None) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
    if token is not None:
        event["headers"] = {**(event["headers"] or {}), "AuthoriZation": f"Bearer {token}"}
    return event


def serve(event: dict[str, Any], echo: Echo | None = None, context: Context | None = None) -> tuple[int, Any]:
    answer = aws_lambda.serve((echo or Echo()).function(), event, context or Context())
    return answer["statusCode"], json.loads(answer["body"])


@pytest.mark.parametrize("name", POSTS)
def test_a_recorded_post_reaches_the_function(token: str, name: str) -> None:
    echo = Echo()
    status, body = serve(recorded(name, token), echo)
    assert (status, echo.body) == (200, {})
    assert body["request_id"] == Context().aws_request_id
    assert echo.headers["authorization"] == f"Bearer {token}"
    assert all(header == header.lower() for header in echo.headers)


def test_the_event_is_left_as_it_came() -> None:
    event = recorded("http_api")
    before = deepcopy(event)
    serve(event)
    assert event == before


def test_null_headers_are_no_headers() -> None:
    assert serve(recorded("http_api_null_headers"))[0] == 401


def test_base64_that_is_none_is_a_bad_body(token: str) -> None:
    status, body = serve(recorded("http_api_bad_base64", token))
    assert (status, body["code"]) == (400, "bad_request")


@pytest.mark.parametrize("body", ["\ud800", '{"a": "\ud800"}'])
def test_a_body_that_no_utf8_can_hold_is_a_bad_body(token: str, body: str) -> None:
    assert serve(recorded("http_api", token) | {"body": body})[0] == 400


@pytest.mark.parametrize("base64", [False, True])
@pytest.mark.parametrize("size", [65_540, 6_000_000])
def test_a_large_body_is_413(token: str, base64: bool, size: int) -> None:
    body = "QUFB" * (size // 3 + 1) if base64 else "A" * size
    event = recorded("http_api", token) | {"body": body, "isBase64Encoded": base64}
    assert serve(event)[0] == 413


@pytest.mark.parametrize(
    "event", [None, [], "x", 1, {}, {"requestContext": None}, {"requestContext": {"http": "x"}, "headers": []}]
)
def test_an_event_of_no_known_shape_is_answered_405(event: Any) -> None:
    assert serve(event)[0] == 405


@pytest.mark.parametrize("name", ["payload_1_0", "scheduled"])
def test_an_event_of_another_kind_is_answered_405(name: str) -> None:
    assert serve(recorded(name))[0] == 405


def test_the_deadline_is_what_lambda_leaves_where_that_is_less(token: str) -> None:
    short, long = Echo(), Echo()
    serve(recorded("http_api", token), short, Context(milliseconds=3000))
    serve(recorded("http_api", token), long, Context(milliseconds=600_000))
    # A little less: what has passed since the event came counts.
    assert (short.total, long.total) == pytest.approx((3.0, 28.0), abs=0.5)


def test_preflight_and_health_are_answered_without_any_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUPABASE_URL")
    preflight = aws_lambda.serve(Echo().function(), recorded("http_api_preflight"), Context())
    health = serve(recorded("http_api_health"))
    assert (preflight["statusCode"], preflight["body"]) == (204, "")
    assert preflight["headers"]["Access-Control-Allow-Methods"] == "POST, GET, OPTIONS"
    assert health == (200, {"success": True, "function": "wpp-echo", "version": "source"})


@pytest.mark.parametrize("name", CONNECTING)
def test_the_handler_connects_an_organization(caller: Caller, name: str) -> None:
    spec = importlib.util.spec_from_file_location(f"lambda_{name}", ROOT / "functions" / name / "main.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    answer = module.handler(recorded("http_api", caller.token), Context())

    assert answer["statusCode"] == 200
    assert answer["isBase64Encoded"] is False
    body = json.loads(answer["body"])
    assert body["success"] is True
    assert body["session"] == caller.row()["settings"]["wppAccountNumber"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_lambda_loads_neither_flask_nor_functions_framework_nor_boto3(name: str) -> None:
    code = f"""
import sys; sys.path.insert(0, "functions/{name}")
import main
class Context:
    aws_request_id = "id"
    def get_remaining_time_in_millis(self): return 29000
event = {{"requestContext": {{"http": {{"method": "POST"}}}}, "headers": {{"authorization": "Bearer a.b.c"}}}}
assert main.handler(event, Context())["statusCode"] in (401, 500)
print(sorted({{"flask", "functions_framework", "boto3", "botocore"}} & set(sys.modules)))
"""
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
