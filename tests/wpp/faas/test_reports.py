"""What is told of each call: its line in the log, the observers, the browser's `Server-Timing`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.function_calls import call, failing, logged, start_process, succeed
from wpp.clock import Clock
from wpp.errors import BadRequest, InvalidToken, NotConfigured
from wpp.faas import function
from wpp.faas.function import Result, report_to
from wpp.http.trace import TracedRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.function_calls import Lines
    from wpp.faas.function import Call
    from wpp.faas.reports import CallReport
    from wpp.runtime import Invocation

TRACE = "0af7651916cd43dd8448eb211c80319c"
QUIET = {"upstream_calls": 0, "round_trips": 0, "upstream_ms": 0.0, "upstream": "", "duration_ms": 0.0}


class Observed:
    def __init__(self) -> None:
        self.began_calls: list[str] = []
        self.reports: list[CallReport] = []

    def began(self, function: str) -> None:
        self.began_calls.append(function)

    def answered(self, report: CallReport) -> None:
        self.reports.append(report)


class Broken:
    def began(self, function: str) -> None:
        raise ValueError(function)

    def answered(self, report: CallReport) -> None:
        raise ValueError(report)


@pytest.fixture(autouse=True)
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of the calls, which passes only where a test says so."""
    start_process(monkeypatch)
    passed = [0.0]
    monkeypatch.setattr(function, "Clock", lambda: Clock(monotonic=lambda: passed[0]))
    return passed


@pytest.fixture
def lines() -> Iterator[Lines]:
    with logged() as lines:
        yield lines


@pytest.fixture
def observed() -> Observed:
    observed = Observed()
    report_to(observed)
    return observed


def busy(invocation: Invocation, seconds: list[float]) -> Result:
    """A quarter of a second, with three requests in two round trips."""
    invocation.organization_id = "o-1"
    trace = invocation.upstream.trace
    trace.requests += [
        TracedRequest("supabase", "rest.GET.profiles", "200", 0.01234),
        TracedRequest("platform", "status", "503", 0.1),
        TracedRequest("platform", "qr", "200", 0.06006),
    ]
    trace.round_trips, trace.waited = 2, 0.12345
    seconds[0] = 0.25004
    return Result({"qrcode": "2@abc"})


# The line in the log


def test_a_call_is_one_line_with_what_it_did_and_waited_for(lines: Lines, seconds: list[float]) -> None:
    call(lambda invocation, _: busy(invocation, seconds), headers={"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"})
    (line,) = lines
    assert len(line.pop("span_id")) == 16
    assert line == {
        "level": "INFO",
        "message": "answered",
        "function": "wpp-echo",
        "request_id": "r-1",
        "organization": "o-1",
        "status": 200,
        "duration_ms": 250.0,
        "upstream_calls": 3,
        "round_trips": 2,
        "upstream_ms": 123.5,
        "upstream": "supabase.rest.GET.profiles 200 12.3, platform.status 503 100.0, platform.qr 200 60.1",
        "trace_id": TRACE,
    }


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (BadRequest("wait must be a number"), "bad_request", "wait must be a number"),
        (InvalidToken("it ended"), "invalid_token", "it ended"),
        (NotConfigured("WPP_SECRET is missing"), "not_configured", "WPP_SECRET is missing"),
    ],
)
def test_the_line_of_a_failure_has_its_code_and_the_reason_that_callers_do_not_learn(
    lines: Lines, error: Exception, code: str, reason: str
) -> None:
    def run(invocation: Invocation, _: Call) -> Result:
        invocation.organization_id = "o-1"
        raise error

    call(run)
    (line,) = lines
    assert (line.pop("level"), line.pop("status")) in (("WARNING", 400), ("WARNING", 401), ("ERROR", 500))
    assert line == {
        "message": "answered", "function": "wpp-echo", "request_id": "r-1", "organization": "o-1",
        "code": code, "reason": reason, **QUIET,
    }  # fmt: skip


@pytest.mark.parametrize(("status", "level"), [(399, "INFO"), (400, "WARNING"), (499, "WARNING"), (500, "ERROR")])
def test_the_fault_of_a_caller_is_a_warning_and_ours_an_error(lines: Lines, status: int, level: str) -> None:
    call(failing(BadRequest("x")), error_texts={BadRequest: (status, "y")})
    assert [(line["level"], line["status"]) for line in lines] == [(level, status)]


def test_a_call_that_never_gets_to_its_function_is_logged_as_one_of_it(lines: Lines) -> None:
    call(succeed, headers={"authorization": ""})
    assert lines == [
        {
            "level": "WARNING", "message": "answered", "function": "wpp-echo", "request_id": "r-1", "status": 401,
            "code": "missing_authorization", "reason": "Missing authorization", **QUIET,
        }
    ]  # fmt: skip


def test_what_nobody_foresaw_is_logged_with_where_it_came_from(lines: Lines) -> None:
    call(failing(ValueError("a secret")))
    first, second = lines
    assert first["error"].pop("frames")[-1].endswith(" run")
    assert first == {
        "level": "ERROR", "message": "an unforeseen error", "function": "wpp-echo", "request_id": "r-1",
        "error": {"type": "ValueError"},
    }  # fmt: skip
    assert second == {
        "level": "ERROR", "message": "answered", "function": "wpp-echo", "request_id": "r-1", "status": 500,
        "code": "internal_error", **QUIET,
    }  # fmt: skip


# The observers


def test_observers_are_told_of_each_call_when_it_begins_and_when_it_is_answered(
    observed: Observed, seconds: list[float]
) -> None:
    call(lambda invocation, _: busy(invocation, seconds))
    assert observed.began_calls == ["wpp-echo"]
    (report,) = observed.reports
    assert report[:4] == ("wpp-echo", 200, None, 0.25004)
    assert len(report.trace.requests) == 3
    assert report.shows_qr is True


@pytest.mark.parametrize(
    ("error", "status", "code"), [(BadRequest("x"), 400, "bad_request"), (ValueError(), 500, "internal_error")]
)
def test_observers_learn_how_a_call_failed(observed: Observed, error: Exception, status: int, code: str) -> None:
    call(failing(error))
    (report,) = observed.reports
    assert (report.function, report.status, report.code, report.shows_qr) == ("wpp-echo", status, code, False)


def test_a_call_that_the_server_ends_is_logged_and_reported(lines: Lines, observed: Observed) -> None:
    with pytest.raises(SystemExit):
        call(failing(SystemExit(1)))
    assert [(report.status, report.code, report.shows_qr) for report in observed.reports] == [(500, "ended", False)]
    assert lines == [
        {
            "level": "ERROR", "message": "answered", "function": "wpp-echo", "request_id": "r-1", "status": 500,
            "code": "ended", "reason": "the call was ended", **QUIET,
        }
    ]  # fmt: skip


def test_what_goes_wrong_with_one_observer_costs_neither_the_call_nor_the_next_observer(lines: Lines) -> None:
    report_to(Broken())
    observed = Observed()
    report_to(observed)
    assert call(succeed).status == 200
    assert (len(observed.began_calls), len(observed.reports)) == (1, 1)
    line = lines[-1]
    assert (line["level"], line["message"]) == ("ERROR", "a call could not be reported")
    assert line["error"]["type"] == "ValueError"


# The browser


def test_a_browser_is_told_what_the_call_waited_for(seconds: list[float]) -> None:
    answer = call(lambda invocation, _: busy(invocation, seconds))
    assert answer.headers["Server-Timing"] == (
        'total;dur=250.0, upstream;dur=123.5;desc="3 calls, 2 round trips", '
        "supabase.rest.GET.profiles;dur=12.3, platform.status;dur=100.0, platform.qr;dur=60.1"
    )


def test_a_browser_is_told_of_twenty_requests_at_most() -> None:
    def run(invocation: Invocation, _: Call) -> Result:
        invocation.upstream.trace.requests += [TracedRequest("platform", "qr", "200", 0.001)] * 21
        return Result({})

    timing = call(run).headers["Server-Timing"]
    assert 'desc="21 calls, 0 round trips"' in timing
    assert timing.count("platform.qr;dur=1.0") == 20
