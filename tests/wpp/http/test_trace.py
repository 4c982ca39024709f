"""The trace context of a caller, as W3C defines it."""

from __future__ import annotations

import pytest

from wpp.clock import Clock
from wpp.http.messages import Request
from wpp.http.trace import Trace, TraceContext, TracedRequest, trace_context_from

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def test_a_valid_parent_is_continued_with_a_span_of_our_own() -> None:
    context = trace_context_from({"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": " a=b, c=d "})
    assert context is not None
    assert context.span_id != SPAN
    assert context.headers == {"traceparent": f"00-{TRACE}-{context.span_id}-01", "tracestate": "a=b, c=d"}


@pytest.mark.parametrize(("flags", "kept"), [("00", "00"), ("02", "02"), ("03", "03"), ("ff", "03")])
def test_only_known_flags_are_kept(flags: str, kept: str) -> None:
    context = trace_context_from({"traceparent": f"00-{TRACE}-{SPAN}-{flags}"})
    assert context is not None
    assert context.headers["traceparent"].endswith(f"-{kept}")


def test_a_later_version_is_read_as_far_as_it_is_known_and_sent_as_ours() -> None:
    context = trace_context_from({"traceparent": f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like"})
    assert context is not None
    assert context.headers == {"traceparent": f"00-{TRACE}-{context.span_id}-01"}


@pytest.mark.parametrize(
    "parent",
    [
        "",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01.more",
        f"cc-{TRACE}-{SPAN}-01.more",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-0x",
        f"00-{TRACE}-{SPAN}",
        f"00_{TRACE}_{SPAN}_01",
    ],
)
def test_an_invalid_parent_is_ignored_with_its_state(parent: str) -> None:
    assert trace_context_from({"traceparent": parent, "tracestate": "a=b"}) is None


@pytest.mark.parametrize("state", ["a=\x00", "a=\xe9", "a=" + "b" * 600, ""])
def test_a_state_that_may_not_be_sent_on_is_dropped_alone(state: str) -> None:
    context = trace_context_from({"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": state})
    assert context is not None
    assert "tracestate" not in context.headers


def test_a_parent_with_white_space_around_it_is_continued() -> None:
    context = trace_context_from({"traceparent": f" 00-{TRACE}-{SPAN}-01\t", "tracestate": ""})
    assert context == TraceContext(TRACE, context.span_id if context else "", flags=1, state=None)
    assert len(context.span_id) == 16


def test_without_a_parent_there_is_no_trace() -> None:
    assert trace_context_from({}) is None


@pytest.mark.parametrize("size", [1, 512, 513])
def test_a_state_of_up_to_512_characters_is_sent_on(size: int) -> None:
    context = trace_context_from({"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "a" * size})
    assert context is not None
    assert context.state == ("a" * size if size <= 512 else None)


# What an invocation did


def test_an_invocation_begins_with_nothing_done() -> None:
    seconds = [100.0]
    trace = Trace(Clock(monotonic=lambda: seconds[0]))
    assert (trace.requests, trace.events, trace.session_state, trace.context) == ([], {}, None, None)
    assert (trace.round_trips, trace.waited, trace.elapsed()) == (0, 0.0, 0.0)
    seconds[0] = 101.5
    assert trace.elapsed() == 1.5


def test_each_request_has_its_result_and_time_and_those_that_overlap_are_waited_for_once() -> None:
    seconds = [100.0]
    trace = Trace(Clock(monotonic=lambda: seconds[0]))
    progress = []

    def at(time: float) -> None:
        seconds[0] = 100.0 + time
        progress.append((trace.round_trips, trace.waited))

    at(1)
    look = trace.begin()
    at(2)
    qr = trace.begin()
    at(3)
    traced = trace.end(Request("platform", "status", "GET", "x"), "200", look)
    at(5)
    trace.end(Request("platform", "qr", "GET", "x"), "timeout", qr)
    at(9)
    stored = trace.begin()
    at(10)
    trace.end(Request("supabase", "rest.PATCH", "PATCH", "x"), "204", stored)
    at(20)
    assert progress == [(0, 0.0), (1, 0.0), (1, 0.0), (1, 0.0), (1, 4.0), (2, 4.0), (2, 5.0)]
    assert traced == TracedRequest("platform", "status", "200", 2.0)
    assert trace.requests == [
        traced,
        TracedRequest("platform", "qr", "timeout", 3.0),
        TracedRequest("supabase", "rest.PATCH", "204", 1.0),
    ]
