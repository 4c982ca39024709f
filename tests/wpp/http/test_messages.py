"""The body of a response, decoded."""

from __future__ import annotations

import pytest

from wpp.http.exact_json import Verbatim
from wpp.http.messages import Response, TransportFailed


def test_a_body_is_read_with_pythons_numbers_or_with_exact_ones() -> None:
    response = Response(200, {}, b'{"a": 1.50, "b": "\xc3\xa9"}')
    assert response.json == {"a": 1.5, "b": "é"}
    assert response.exact_json == {"a": Verbatim("1.50"), "b": "é"}


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"<html>", b"[" * 100_000])
def test_a_body_that_is_not_json_is_none(body: bytes) -> None:
    response = Response(200, {}, body)
    assert response.json is None
    assert response.exact_json is None


def test_without_more_a_request_failed_for_a_reason_that_says_nothing_about_the_next() -> None:
    error = TransportFailed("broke the rules of HTTP")
    assert str(error) == "broke the rules of HTTP"
    assert (error.timed_out, error.stale, error.too_large) == (False, False, False)
