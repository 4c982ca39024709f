"""The trace context of a caller, as W3C defines it."""

from __future__ import annotations

import pytest

from wpp.http.trace import trace_context_from

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
