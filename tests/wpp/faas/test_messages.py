"""The body of a request as a function reads it, and an answer as every runtime sends it."""

from __future__ import annotations

import pytest

from wpp.errors import BadRequest, BodyTooLarge
from wpp.faas.function import Call
from wpp.faas.messages import MAX_BODY_BYTES, Answer, Request, json_answer


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"", {}),
        (b" \t\r\n", {}),
        (b"{}", {}),
        (b' {"a": [1, "\xc3\xa9"]}\n', {"a": [1, "é"]}),
        (b'{"a": 1}'.ljust(MAX_BODY_BYTES), {"a": 1}),
        (lambda: b'{"a": 1}', {"a": 1}),
    ],
)
def test_a_body_is_a_json_object_and_an_empty_one_an_empty_object(body: bytes, value: object) -> None:
    assert Request("POST", {}, body).json_object() == value


@pytest.mark.parametrize("body", [b"{", b"\x1e", b"\xff", b"\xef\xbb\xbf{}", b"[" * 60_000, b'{"a": 1} {}'])
def test_what_is_not_json_is_a_bad_request(body: bytes) -> None:
    with pytest.raises(BadRequest, match=r"^The body is not valid JSON$"):
        Request("POST", {}, body).json_object()


@pytest.mark.parametrize("body", [b"null", b"[]", b"1", b'"text"', b"true"])
def test_other_json_than_an_object_is_a_bad_request(body: bytes) -> None:
    with pytest.raises(BadRequest, match=r"^The body must be a JSON object$"):
        Request("POST", {}, body).json_object()


@pytest.mark.parametrize("size", [MAX_BODY_BYTES + 1, 2 * MAX_BODY_BYTES])
def test_a_body_of_more_than_64_kib_is_not_read_as_json(size: int) -> None:
    with pytest.raises(BodyTooLarge, match=r"^The body is larger than 64 KiB$"):
        Request("POST", {}, b"{}".ljust(size)).json_object()


def test_an_answer_is_compact_utf8_that_nobody_caches_or_takes_for_something_else() -> None:
    answer = json_answer(201, {"name": "São \ud800", "list": [1, None]}, {"Vary": "Origin"})
    assert answer == Answer(
        201,
        {
            "Content-Type": "application/json",
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Vary": "Origin",
        },
        '{"name":"São ?","list":[1,null]}'.encode(),
    )


def test_the_headers_of_an_answer_come_before_the_usual_ones() -> None:
    assert json_answer(200, {}, {"Cache-Control": "max-age=60"}).headers["Cache-Control"] == "max-age=60"


def test_neither_tokens_nor_bodies_nor_headers_show_in_a_repr() -> None:
    fields = {"a": "secret"}
    for shown in (
        Call("secret", fields, fields),
        Request("POST", fields, b"secret", fields),
        Answer(200, fields, b"secret"),
    ):
        assert "secret" not in repr(shown)
