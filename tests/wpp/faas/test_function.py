"""What callers get from a function, whichever runtime it has: whole answers, of success and of each way to fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.function_calls import body_of, call, failing, start_process, succeed
from wpp.errors import BadRequest, CreationInProgress, InvalidToken, NotConfigured, OrganizationNotFound, UpstreamBroken
from wpp.faas.function import Function, Result, respond
from wpp.faas.messages import Answer, Request

if TYPE_CHECKING:
    from wpp.faas.function import Call
    from wpp.runtime import Invocation

JSON = {"Content-Type": "application/json", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
CORS = {
    "Access-Control-Allow-Origin": "https://app.example",
    "Access-Control-Expose-Headers": "Idempotent-Replayed, Retry-After, Server-Timing, X-Request-Id, X-Trace-Id",
    "Timing-Allow-Origin": "https://app.example",
    "Vary": "Origin",
}


@pytest.fixture(autouse=True)
def _process(monkeypatch: pytest.MonkeyPatch) -> None:
    start_process(monkeypatch)
    monkeypatch.setenv("CORS_ALLOW_ORIGIN", "https://app.example")


def headers_of(answer: Answer) -> dict[str, str]:
    """All but the time it took."""
    assert "Server-Timing" in answer.headers
    return {name: value for name, value in answer.headers.items() if name != "Server-Timing"}


# Success


def test_a_success_has_the_fields_warnings_and_headers_of_the_function() -> None:
    def run(invocation: Invocation, _: Call) -> Result:
        invocation.warn("something is odd")
        return Result({"session": "s-1"}, {"Idempotent-Replayed": "true"})

    answer = call(run)
    assert answer.status == 200
    assert headers_of(answer) == {**JSON, **CORS, "X-Request-Id": "r-1", "Idempotent-Replayed": "true"}
    assert body_of(answer) == {"success": True, "session": "s-1", "warnings": ["something is odd"]}


def test_there_are_no_warnings_where_there_is_nothing_to_warn_of() -> None:
    assert call(succeed).body == b'{"success":true}'


def test_a_function_gets_the_token_body_and_headers_of_its_call() -> None:
    given: list[Call] = []

    def run(invocation: Invocation, call: Call) -> Result:
        given.append(call)
        return Result({"user_id": invocation.user_id, "function": invocation.function})

    answer = body_of(call(run, body=b'{"a": 1}', headers={"idempotency-key": "k"}))
    (got,) = given
    assert got.headers == {
        "authorization": f"Bearer {got.access_token}",
        "x-request-id": "r-1",
        "idempotency-key": "k",
    }
    assert got.body == {"a": 1}
    assert (len(answer["user_id"]), answer["function"]) == (36, "wpp-echo")


def test_a_get_with_a_query_is_a_call_of_a_function_that_answers_get() -> None:
    def run(_: Invocation, call: Call) -> Result:
        return Result(call.body)

    query = {"wait": "1"}
    assert body_of(call(run, method="GET", query=query, answers_get=True)) == {"success": True, "wait": "1"}


# Without a call


def test_a_preflight_is_answered_without_a_body() -> None:
    answer = respond(Function("wpp-echo", succeed), Request("OPTIONS", {}))
    assert answer == Answer(
        204,
        {
            **CORS,
            "Access-Control-Allow-Methods": "POST, GET, OPTIONS",
            "Access-Control-Allow-Headers": (
                "authorization, x-client-info, apikey, content-type, x-region, x-retry-count, x-supabase-api-version, "
                "idempotency-key, traceparent, tracestate, baggage"
            ),
            "Access-Control-Max-Age": "86400",
        },
    )


@pytest.mark.parametrize(
    ("method", "query", "answers_get"),
    [("GET", {}, False), ("GET", {"a": "b"}, False), ("GET", {}, True), ("HEAD", {}, True), ("HEAD", {"a": "b"}, True)],
)
def test_a_get_that_is_not_a_call_tells_the_version(method: str, query: dict[str, str], *, answers_get: bool) -> None:
    function = Function("wpp-echo", failing(AssertionError()), answers_get=answers_get)
    answer = respond(function, Request(method, {}, query=query))
    assert answer == Answer(200, {**JSON, **CORS}, b'{"success":true,"function":"wpp-echo","version":"source"}')


# Failures


def error_of(error: BaseException, **function_fields: Any) -> tuple[int, str | None, dict[str, Any]]:
    answer = call(failing(error), **function_fields)
    return answer.status, answer.headers.get("Retry-After"), body_of(answer)


def shown(text: str, code: str, *, retryable: bool = False) -> dict[str, Any]:
    return {"success": False, "error": text, "code": code, "retryable": retryable, "request_id": "r-1"}


def test_a_failure_has_the_headers_of_every_answer() -> None:
    assert headers_of(call(failing(BadRequest("x")))) == {**JSON, **CORS, "X-Request-Id": "r-1"}


def test_a_failure_that_the_caller_can_mend_is_described() -> None:
    expected = shown("integration_id must be a UUID", "bad_request")
    assert error_of(BadRequest("integration_id must be a UUID")) == (400, None, expected)


def test_the_caller_does_not_learn_why_a_token_is_refused() -> None:
    assert error_of(InvalidToken("it ended")) == (401, None, shown("Unauthorized", "invalid_token"))


def test_a_text_for_the_operator_is_not_shown_to_the_caller() -> None:
    text = "WhatsApp is unavailable right now. Please contact your administrator: the log has the reason."
    assert error_of(NotConfigured("WPP_SECRET is missing")) == (500, None, shown(text, "not_configured"))
    own = error_of(NotConfigured("WPP_SECRET is missing"), operator_text="Ask Anna")
    assert own == (500, None, shown("Ask Anna", "not_configured"))


def test_a_function_may_have_its_own_status_text_and_fields_of_an_error() -> None:
    texts = {OrganizationNotFound: (400, "Where do you belong?")}
    found = error_of(OrganizationNotFound(), error_texts=texts, error_fields={"status": "error"})
    assert found == (400, None, {**shown("Where do you belong?", "organization_not_found"), "status": "error"})
    assert error_of(BadRequest("x"), error_texts=texts)[0] == 400


@pytest.mark.parametrize(
    ("asked", "told"), [(None, None), (0.0, "0"), (0.1, "1"), (7, "7"), (299.5, "300"), (301.0, "300"), (1e9, "300")]
)
def test_callers_are_told_to_wait_whole_seconds_and_five_minutes_at_most(asked: float | None, told: str | None) -> None:
    error = UpstreamBroken("platform", "qr", "is too busy", upstream_status=429, retry_after=asked)
    text = "WPP Platform is too busy (qr)"
    assert error_of(error) == (502, told, shown(text, "platform_unavailable", retryable=True))


def test_an_error_of_ours_may_ask_to_wait_too() -> None:
    text = "The connection is being created by another request; try again shortly"
    assert error_of(CreationInProgress(2)) == (503, "2", shown(text, "creation_in_progress", retryable=True))


def test_what_nobody_foresaw_is_an_internal_error_without_its_text() -> None:
    expected = {**shown("Internal error", "internal_error"), "status": "error"}
    assert error_of(ValueError("a secret"), error_fields={"status": "error"}) == (500, None, expected)


@pytest.mark.parametrize(
    ("method", "answers_get"), [("PUT", False), ("PATCH", True), ("DELETE", True), ("", True), ("post", False)]
)
def test_another_method_is_refused_with_those_that_are_served(method: str, *, answers_get: bool) -> None:
    answer = call(failing(AssertionError()), method=method, query={"a": "b"}, answers_get=answers_get)
    assert answer.status == 405
    assert headers_of(answer) == {**JSON, **CORS, "X-Request-Id": "r-1", "Allow": "POST, GET, OPTIONS"}
    assert body_of(answer) == shown("Only POST, GET and OPTIONS are served here", "method_not_allowed")


def test_other_refusals_do_not_name_methods() -> None:
    assert "Allow" not in call(failing(BadRequest("x"))).headers


def test_the_body_is_not_read_for_a_caller_without_a_valid_token() -> None:
    def read() -> bytes:
        raise AssertionError

    request = Request("POST", {"authorization": "Bearer a.b.c", "x-request-id": "r-1"}, read)
    assert body_of(respond(Function("wpp-echo", succeed), request)) == shown("Unauthorized", "invalid_token")


# Which request it was


@pytest.mark.parametrize(
    ("own", "sent", "used"),
    [
        ("8f507cfc-1", "r-1", "8f507cfc-1"),
        (None, "r-1", "r-1"),
        ("", "r-1", "r-1"),
        ("not well-formed", "aZ09._:=-", "aZ09._:=-"),
        (None, "a" * 128, "a" * 128),
    ],
)
def test_a_request_has_the_id_of_the_runtime_or_else_of_the_caller(own: str | None, sent: str, used: str) -> None:
    answer = respond(Function("wpp-echo", succeed), Request("POST", {"x-request-id": sent}, request_id=own))
    assert answer.headers["X-Request-Id"] == body_of(answer)["request_id"] == used


@pytest.mark.parametrize("sent", ["", "a b", "é", "a\n", "a" * 129, '"a"'])
def test_a_request_without_a_well_formed_id_gets_a_new_one(sent: str) -> None:
    ids = {
        respond(Function("wpp-echo", succeed), Request("POST", {"x-request-id": sent})).headers["X-Request-Id"]
        for _ in range(2)
    }
    assert {len(one) for one in ids} == {32}
    assert len(ids) == 2


def test_the_trace_that_a_call_belongs_to_is_named() -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    answer = call(succeed, headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"})
    assert headers_of(answer) == {**JSON, **CORS, "X-Request-Id": "r-1", "X-Trace-Id": trace}
