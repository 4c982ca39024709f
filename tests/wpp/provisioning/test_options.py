"""What a call may ask for, and what a row remembers of calls with an idempotency key."""

from __future__ import annotations

from typing import Any

import pytest

from wpp.errors import BadRequest, IdempotencyKeyReused
from wpp.provisioning.options import (
    KeyedRequest,
    Options,
    Target,
    idempotency_key_from,
    keyed_request,
    options_from,
    row_target_from,
    target_from,
)
from wpp.provisioning.record import Record
from wpp.supabase.rows import Integration


def row(**settings: Any) -> Integration:
    return Integration("row", "organization", True, True, settings, "", None)


def keyed(key: str = "key", options: Options = Options(), organization: str = "organization") -> KeyedRequest:  # noqa: B008
    request = keyed_request(organization, "wpp-create", key, options, Target())
    assert request
    return request


@pytest.mark.parametrize(
    ("body", "options"),
    [
        ({}, Options()),
        ({"force_recreate": False, "add_new": False, "unknown": 1}, Options()),
        ({"force_recreate": True}, Options(force_recreate=True)),
        ({"add_new": True}, Options(add_new=True)),
    ],
)
def test_options_are_booleans_and_unknown_fields_are_ignored(body: dict[str, Any], options: Options) -> None:
    assert options_from(body) == options


@pytest.mark.parametrize("body", [{"add_new": 1}, {"add_new": None}, {"force_recreate": "true"}])
def test_an_option_of_another_type_is_refused_by_name(body: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match=f"^{next(iter(body))} must be true or false$"):
        options_from(body)


@pytest.mark.parametrize("other", [{"force_recreate": True}, {"integration_id": "row"}])
def test_options_that_exclude_each_other_are_refused(other: dict[str, Any]) -> None:
    text = "^add_new cannot be asked for together with force_recreate or integration_id$"
    with pytest.raises(BadRequest, match=text):
        options_from({"add_new": True, **other})


@pytest.mark.parametrize(
    ("body", "any_session", "row_only"),
    [
        ({}, Target(), Target()),
        ({"integration_id": "row"}, Target("row"), Target("row")),
        ({"session_name": "s"}, Target(None, "s"), Target()),
        ({"session": "s"}, Target(None, "s"), Target()),
        ({"session_name": "s", "session": "t", "integration_id": "row"}, Target("row", "s"), Target("row")),
        ({"session_name": "", "session": "t", "integration_id": None}, Target(None, "t"), Target()),
    ],
)
def test_a_number_is_named_by_its_row_or_its_session(
    body: dict[str, Any], any_session: Target, row_only: Target
) -> None:
    assert (target_from(body), row_target_from(body)) == (any_session, row_only)


@pytest.mark.parametrize("name", ["integration_id", "session_name", "session"])
def test_a_name_that_is_not_text_is_refused_by_its_field(name: str) -> None:
    with pytest.raises(BadRequest, match=f"^{name} must be text$"):
        target_from({name: 5})


@pytest.mark.parametrize(("target", "is_named"), [(Target(), False), (Target("row"), True), (Target(None, "s"), True)])
def test_a_target_is_named_by_either(target: Target, is_named: bool) -> None:
    assert target.is_named is is_named


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
