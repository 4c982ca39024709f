"""JSON that is read, changed and written back: the numbers in it stay as they were."""

from __future__ import annotations

import pytest

from wpp.http.exact_json import Verbatim, dumps, loads


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("-12", -12),
        ("1.5", 1.5),
        ("1.50", Verbatim("1.50")),
        ("1E400", Verbatim("1E400")),
        ("-0.1e-7", Verbatim("-0.1e-7")),
        ("3.141592653589793238", Verbatim("3.141592653589793238")),
        ("9" * 4000, int("9" * 4000)),
        ("9" * 4001, Verbatim("9" * 4001)),
        ("9" * 5000, Verbatim("9" * 5000)),
        ('{"a": [true, null, "1.50"]}', {"a": [True, None, "1.50"]}),
    ],
)
def test_a_number_that_python_cannot_hold_is_kept_as_its_text(text: str, value: object) -> None:
    assert loads(text) == loads(text.encode()) == value


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1.50,"b":[1E400,-0.1e-7,1]}',
        '{"1.50":"1.50"}',
        f"[{'9' * 5000},1e+2,-0.0]",
        '"\\u00e9 \\ud800"',
    ],
)
def test_what_was_read_is_written_as_it_was(text: str) -> None:
    assert dumps(loads(text)).decode() == text


def test_what_is_written_is_compact_and_in_ascii() -> None:
    assert dumps({"a": [1, "é"], "b": None}) == b'{"a":[1,"\\u00e9"],"b":null}'


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_what_only_python_takes_for_a_number_is_refused(constant: str) -> None:
    with pytest.raises(ValueError, match=f"^{constant} is not JSON$"):
        loads(f"[{constant}]")


def test_what_json_cannot_hold_is_not_written() -> None:
    with pytest.raises(TypeError, match=r"^set is not JSON$"):
        dumps({"a": set()})
