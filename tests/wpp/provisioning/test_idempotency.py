"""Idempotency keys, and what a row remembers of the calls that came with one."""

from __future__ import annotations

from typing import Any

import pytest

from wpp.errors import BadRequest, IdempotencyKeyReused
from wpp.provisioning.idempotency import KeyedRequest, idempotency_key_from, keyed_request
from wpp.provisioning.options import Options, Target
from wpp.provisioning.record import Record
from wpp.supabase.rows import Integration


def row(**settings: Any) -> Integration:
    return Integration("row", "organization", True, True, settings, "", None)


def keyed(key: str = "key", options: Options = Options(), organization: str = "organization") -> KeyedRequest:  # noqa: B008
    request = keyed_request(organization, "wpp-create", key, options, Target())
    assert request
    return request


@pytest.mark.parametrize(
    ("header", "key"),
    [
        (None, None),
        (" x ", "x"),
        ("x" * 255, "x" * 255),
        ('"x y"', "x y"),
        (r'"a \"b\\"', 'a "b\\'),
    ],
)
def test_an_idempotency_key_comes_bare_or_quoted(header: str | None, key: str | None) -> None:
    assert idempotency_key_from(header) == key


@pytest.mark.parametrize("header", ["", '"', '""', '"open', "x" * 256, "tab\there", "umlaut-\xe4"])
def test_what_cannot_be_an_idempotency_key_is_refused(header: str) -> None:
    text = "^Idempotency-Key must be 1 to 255 printable ASCII characters, bare or quoted$"
    with pytest.raises(BadRequest, match=text):
        idempotency_key_from(header)


def test_a_request_is_recognized_in_whichever_row_it_was_recorded() -> None:
    recorded = keyed().recorded(Record("row", "organization", {"theirs": 1}), 1000.0)
    assert recorded.settings == {
        "theirs": 1,
        "wppRequests": {keyed().fingerprint: {"options": "plain", "at": 1_000_000}},
    }
    assert keyed().is_repeated([row(), row(**recorded.settings)])
    assert not keyed("another").is_repeated([row(**recorded.settings)])
    assert not keyed(organization="another").is_repeated([row(**recorded.settings)])
    assert keyed().recorded(recorded, 2000.0) == recorded


def test_a_key_that_was_used_with_other_options_is_refused() -> None:
    recorded = keyed(options=Options(add_new=True)).recorded(Record("row", "organization", {}), 1000.0)
    text = "^This Idempotency-Key was used with other options, or for another number, before; use a new one$"
    with pytest.raises(IdempotencyKeyReused, match=text):
        keyed().is_repeated([row(**recorded.settings)])


@pytest.mark.parametrize("junk", [None, 5, [], "text", {"f": None}, {"f": {"at": 10**400}}])
def test_what_others_wrote_in_the_place_of_our_memory_does_no_harm(junk: Any) -> None:
    assert not keyed().is_repeated([row(wppRequests=junk)])
    assert keyed().is_repeated(
        [row(**keyed().recorded(Record("row", "organization", {"wppRequests": junk}), 1.0).settings)]
    )


def test_a_row_remembers_the_newest_keys_only() -> None:
    record = Record("row", "organization", {"theirs": 1})
    for number in range(60):
        record = KeyedRequest(f"{number:032x}", "plain").recorded(record, 1000.0 + number)
    assert record.settings["theirs"] == 1
    assert sorted(record.settings["wppRequests"]) == [f"{number:032x}" for number in range(10, 60)]


@pytest.mark.parametrize(
    ("at", "is_kept"), [(1, True), (0.5, False), (2**53 - 1, True), (2**53, False), ("500", False), (None, False)]
)
def test_the_oldest_keys_are_forgotten_and_first_those_without_a_time(at: Any, is_kept: bool) -> None:
    known = {f"known {number:02}": {"options": "plain", "at": 1} for number in range(49)}
    record = Record("row", "organization", {"wppRequests": {"asked about": {"options": "plain", "at": at}, **known}})
    kept = KeyedRequest("a new one", "plain").recorded(record, 0.6).settings["wppRequests"]
    assert len(kept) == 50
    assert kept["a new one"] == {"options": "plain", "at": 600}
    assert ("asked about" in kept) is is_kept
