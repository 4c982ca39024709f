"""One request to an upstream, attempt by attempt: what is sent, when again, and which error is raised in the end."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.function_calls import logged
from tests.support.scripted import OK, Script
from wpp.errors import DeadlinePassed, UpstreamBroken, UpstreamError, UpstreamTimeout, UpstreamUnreadable
from wpp.http.messages import Request, Response, TransportFailed
from wpp.http.trace import Trace, TracedRequest, trace_context_from
from wpp.http.upstream import retry_delay

if TYPE_CHECKING:
    from wpp.http.upstream import Upstream

URL = "https://platform.example/health"
BUSY = Response(503, {}, b"")
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def request(**fields: Any) -> Request:
    return Request("platform", "health", "GET", URL, **fields)


def error_of(upstream: Upstream, request: Request) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        upstream.send(request)
    return caught.value


# What is sent


def test_a_request_without_a_payload_has_no_body_and_no_type() -> None:
    script = Script(OK)
    assert script.upstream().send(request(headers={"apikey": "k"})) is OK
    assert script.sent == [("GET", URL, {"apikey": "k", "X-Request-Id": "r-1"}, None, 8.0)]


@pytest.mark.parametrize(("payload", "body"), [({}, b"{}"), ([], b"[]"), ({"a": [1.5, "é"]}, b'{"a":[1.5,"\\u00e9"]}')])
def test_a_payload_is_sent_as_json(payload: object, body: bytes) -> None:
    script = Script(OK)
    script.upstream().send(Request("supabase", "x", "PATCH", URL, payload=payload))
    headers = {"X-Request-Id": "r-1", "Content-Type": "application/json"}
    assert script.sent == [("PATCH", URL, headers, body, 8.0)]


def test_a_request_of_a_callers_trace_belongs_to_it() -> None:
    script = Script(OK)
    context = trace_context_from({"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "a=b"})
    assert context is not None
    script.upstream(trace=Trace(script.clock, context)).send(request())
    assert script.sent[0].headers == {
        "X-Request-Id": "r-1",
        "traceparent": f"00-{TRACE}-{context.span_id}-01",
        "tracestate": "a=b",
    }


@pytest.mark.parametrize(
    ("call_seconds", "fields", "timeout"),
    [
        (60.0, {}, 8.0),
        (60.0, {"timeout": 2.5}, 2.5),
        (5.0, {}, 5.0),
        (60.0, {"patience": 4.0}, 4.0),
        (60.0, {"patience": 9.0}, 8.0),
        (3.0, {"timeout": 5.0, "patience": 4.0}, 3.0),
    ],
)
def test_an_attempt_has_the_least_of_its_own_time_the_patience_and_what_is_left_of_the_call(
    call_seconds: float, fields: dict[str, float], timeout: float
) -> None:
    script = Script(OK)
    script.upstream(call_seconds).send(request(**fields))
    assert script.sent[0].timeout == timeout


def test_nothing_is_sent_when_there_is_no_time_left() -> None:
    script = Script(OK)
    upstream = script.upstream(5.0)
    script.seconds = 5.0
    with pytest.raises(DeadlinePassed, match=r"^Time ran out while waiting for health; try again$"):
        upstream.send(request())
    assert script.sent == []
    assert upstream.trace.requests == []


# Again


def test_the_longest_pause_doubles_up_to_two_seconds_and_is_never_shorter_than_asked_for() -> None:
    drawn: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        drawn.append((low, high))
        return high / 2

    assert [retry_delay(attempt, None, uniform) for attempt in range(1, 7)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    assert drawn == [(0, 0.2), (0, 0.4), (0, 0.8), (0, 1.6), (0, 2.0), (0, 2.0)]
    assert [retry_delay(1, asked, uniform) for asked in (0.0, 0.05, 0.5)] == [0.1, 0.1, 0.5]


@pytest.mark.parametrize(
    "failure",
    [BUSY, Response(429, {}, b""), Response(504, {}, b""), TransportFailed("x"), TransportFailed("x", timed_out=True)],
)
def test_a_request_that_may_be_repeated_is_sent_four_times_at_most(failure: Response | TransportFailed) -> None:
    script = Script(failure)
    error_of(script.upstream(), request(repeatable=True))
    assert len(script.sent) == 4
    assert script.pauses == [0.2, 0.4, 0.8]


def test_the_first_response_that_is_not_a_failure_counts() -> None:
    script = Script(BUSY, TransportFailed("x"), OK)
    assert script.upstream().send(request(repeatable=True)) is OK
    assert script.pauses == [0.2, 0.4]


def test_a_connection_that_had_ended_meanwhile_is_replaced_without_a_pause() -> None:
    script = Script(TransportFailed("x", stale=True))
    error_of(script.upstream(), request(repeatable=True))
    assert (len(script.sent), script.pauses) == (4, [])


def test_what_may_not_be_repeated_is_sent_once() -> None:
    script = Script(BUSY, OK)
    error_of(script.upstream(), request())
    assert len(script.sent) == 1


def test_a_response_that_is_too_large_would_be_it_again() -> None:
    script = Script(TransportFailed("sent a response that is too large", too_large=True), OK)
    error_of(script.upstream(), request(repeatable=True))
    assert len(script.sent) == 1


def test_attempts_and_pauses_share_the_patience() -> None:
    script = Script(BUSY, BUSY, OK, takes=1.5)
    error_of(script.upstream(), request(repeatable=True, patience=3.25))
    # 0.05 seconds would be left for a pause of 0.4.
    assert [sent.timeout for sent in script.sent] == [3.25, pytest.approx(1.55)]
    assert script.pauses == [0.2]


@pytest.mark.parametrize(("left", "attempts"), [(5.0, 1), (5.001, 2)])
@pytest.mark.parametrize("limit", ["call", "patience"])
def test_a_pause_that_leaves_no_time_for_another_attempt_is_not_begun(limit: str, left: float, attempts: int) -> None:
    script = Script(Response(429, {"retry-after": "5"}, b""))
    upstream = script.upstream(left if limit == "call" else 60.0)
    patience = left if limit == "patience" else None
    assert error_of(upstream, request(repeatable=True, patience=patience)).upstream_status == 429
    assert len(script.sent) == attempts


def test_a_fence_is_asked_right_before_each_attempt() -> None:
    class Lost(Exception):
        pass

    def fence() -> None:
        asked_after.append(len(script.sent))
        if len(script.sent) == 2:
            raise Lost

    asked_after: list[int] = []
    script = Script(BUSY)
    with pytest.raises(Lost):
        script.upstream().send(request(repeatable=True, fence=fence))
    assert asked_after == [0, 1, 2]


# Errors


@pytest.mark.parametrize(
    ("failure", "kind", "problem", "result"),
    [
        (TransportFailed("cannot be reached"), UpstreamBroken, "cannot be reached", "broken"),
        (TransportFailed("is late", timed_out=True), UpstreamTimeout, "is late", "timeout"),
        (TransportFailed("sent much", too_large=True), UpstreamUnreadable, "sent much", "too_large"),
        (Response(429, {}, b""), UpstreamBroken, "is too busy with status 429", "429"),
        (Response(500, {}, b""), UpstreamBroken, "failed with status 500", "500"),
        (Response(503, {}, b""), UpstreamBroken, "failed with status 503", "503"),
        (Response(504, {}, b""), UpstreamTimeout, "failed with status 504", "504"),
        (Response(505, {}, b""), UpstreamBroken, "failed with status 505", "505"),
    ],
)
def test_a_failure_is_an_error_that_says_who_failed_and_how(
    failure: Response | TransportFailed, kind: type[UpstreamError], problem: str, result: str
) -> None:
    script = Script(failure, takes=0.25)
    upstream = script.upstream()
    error = error_of(upstream, request())
    assert type(error) is kind
    assert str(error) == f"WPP Platform {problem} (health)"
    status = failure.status if isinstance(failure, Response) else None
    assert (error.system, error.call, error.upstream_status, error.retry_after) == ("platform", "health", status, None)
    assert upstream.trace.requests == [TracedRequest("platform", "health", result, 0.25)]


def test_a_request_that_the_server_ends_is_counted_as_broken() -> None:
    upstream = Script(SystemExit(1), takes=0.25).upstream()
    with pytest.raises(SystemExit):
        upstream.send(request(repeatable=True))
    assert upstream.trace.requests == [TracedRequest("platform", "health", "broken", 0.25)]


@pytest.mark.parametrize("status", [200, 204, 302, 400, 401, 404, 428, 430, 499])
def test_every_other_status_is_a_response(status: int) -> None:
    script = Script(Response(status, {}, b""))
    assert script.upstream().send(request(repeatable=True)).status == status
    assert len(script.sent) == 1


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0), ("5", 5.0), ("99999", 99999.0), ("100000", None), ("", None), ("1.5", None), ("-1", None), ("\xb2", None),
        ("Sun, 29 Nov 2026 02:00:00 GMT", None),
    ],
)  # fmt: skip
def test_an_upstream_may_ask_to_wait_for_whole_seconds(header: str, seconds: float | None) -> None:
    script = Script(Response(503, {"retry-after": header}, b""))
    assert error_of(script.upstream(), request()).retry_after == seconds


def test_the_log_shows_each_attempt_at_its_most_detailed_level() -> None:
    script = Script(TransportFailed("x", timed_out=True), OK, takes=0.12345)
    with logged(logging.DEBUG) as lines:
        script.upstream().send(request(repeatable=True))
    line = {"level": "DEBUG", "message": "upstream request", "request_id": "r-1", "call": "platform.health"}
    assert lines == [{**line, "result": "timeout", "ms": 123.5}, {**line, "result": "200", "ms": 123.5}]


def test_the_log_does_not_show_attempts_at_its_usual_level() -> None:
    with logged() as lines:
        Script(OK).upstream().send(request())
    assert lines == []
