"""Which row is a number's own."""

from __future__ import annotations

import itertools
import uuid
from contextlib import nullcontext
from typing import Any

import pytest

from wpp.errors import NumberNotFound, RowUnreadable, UpstreamRefused
from wpp.provisioning.idempotency import KeyedRequest
from wpp.provisioning.number import (
    Number,
    free_numbers,
    further_number,
    named_row,
    number_of,
    primary_number,
    require_own_id,
    require_own_session,
)
from wpp.provisioning.options import Target
from wpp.provisioning.record import record_of
from wpp.supabase.rows import Integration

ORGANIZATION = str(uuid.uuid4())
KEYED = KeyedRequest("f" * 32, "add_new")


def row(name: str, *, primary: bool = False, active: bool = True, created: str = "1", **settings: Any) -> Integration:
    return Integration(name, ORGANIZATION, active, primary, settings, created, None)


def test_the_primary_row_is_the_primary_and_active_one_else_the_oldest_whatever_the_order() -> None:
    chosen = row("c", primary=True, created="3")
    others = [row("a", created="1"), row("b", primary=True, active=False, created="0"), row("d", created="0")]
    for order in itertools.permutations([chosen, *others]):
        assert primary_number(ORGANIZATION).find(order) is chosen
    for order in itertools.permutations(others):
        assert primary_number(ORGANIZATION).find(order) is others[1]


def test_a_row_with_credentials_or_else_one_that_somebody_works_on_goes_before_any_other() -> None:
    with_credentials = row("c", active=False, created="9", wppApiKey="key_0123456789", wppAccountNumber="client_1")
    claimed = row("b", active=False, created="8", wppClaim={"id": "somebody's", "beat": 1})
    plain = row("a", primary=True, created="1")
    for order in itertools.permutations([plain, claimed, with_credentials]):
        assert primary_number(ORGANIZATION).find(order) is with_credentials
    for order in itertools.permutations([plain, claimed]):
        assert primary_number(ORGANIZATION).find(order) is claimed


def test_a_claim_on_another_row_with_credentials_does_not_make_it_the_primary_one() -> None:
    """As that of a disconnection of a second row, which was cut off."""
    keys: dict[str, Any] = {"wppApiKey": "key_0123456789", "wppAccountNumber": "client_1"}
    chosen = row("b", primary=True, created="2", **keys)
    other = row("a", active=False, created="1", wppClaim={"id": "somebody's", "beat": 1, "doing": "disconnect"}, **keys)
    for order in itertools.permutations([chosen, other]):
        assert primary_number(ORGANIZATION).find(order) is chosen


def test_a_row_is_found_by_its_id_in_capitals_too() -> None:
    rows = [row("one"), row("0D9A4A3B-52a1")]
    assert named_row(rows, Target("0d9a4A3B-52A1")) is rows[1]


@pytest.mark.parametrize("form", ["its own", "{own}__wpp__01234567", "{OWN}", "{own}/{row}"])
def test_an_id_of_the_organization_may_be_asked_for(form: str) -> None:
    mine = str(uuid.uuid4())
    name = form.format(own=ORGANIZATION, OWN=ORGANIZATION.upper(), row=mine)
    require_own_id(record_of(row(mine.upper(), wppSubOrgId=name)))


@pytest.mark.parametrize("form", ["{}", "{}__wpp__01234567", " {}", "{own}{}"])
def test_an_id_of_another_organization_may_not(form: str) -> None:
    with pytest.raises(RowUnreadable):
        require_own_id(record_of(row("a", wppSubOrgId=form.format(uuid.uuid4(), own=ORGANIZATION).upper())))


SHARED: dict[str, Any] = {"wppApiKey": "key_0123456789", "wppAccountNumber": "client_1"}
FURTHER = {"wppSubOrgId": f"{ORGANIZATION}__wpp__01234567"}


@pytest.mark.parametrize(
    ("own", "other", "is_own"),
    [
        ({}, SHARED, False),
        (FURTHER, SHARED, False),
        (FURTHER, {**SHARED, "wppSubOrgId": "another"}, False),
        ({}, {**SHARED, **FURTHER}, True),
        ({}, {**SHARED, "wppAccountNumber": "client_2"}, True),
        (SHARED, SHARED, True),
        ({**SHARED, "wppAccountNumber": "client_2"}, SHARED, False),
        ({}, {}, True),
    ],
)
def test_no_number_takes_the_session_of_another(own: dict[str, Any], other: dict[str, Any], is_own: bool) -> None:
    """Unless it has it already, or is the primary number, and a further one holds what the organization's own id gives."""
    mine = row("mine", **own)
    rows = [row("third"), mine, row("other", **other)]
    with nullcontext() if is_own else pytest.raises(UpstreamRefused, match="the client that row other has already"):
        require_own_session(record_of(mine), "client_1", rows)


def test_a_further_numbers_row_is_never_the_primary_one() -> None:
    further = row("a", wppSubOrgId=f"{ORGANIZATION}__wpp__01234567")
    assert primary_number(ORGANIZATION).find([further]) is None


def test_the_id_of_the_primary_row_follows_from_the_organization() -> None:
    row_id = primary_number(ORGANIZATION).row_id
    assert primary_number(ORGANIZATION).row_id == row_id == str(uuid.UUID(row_id))
    assert primary_number(str(uuid.uuid4())).row_id != row_id


def test_a_key_means_the_same_further_number_each_time() -> None:
    first, again = (further_number(ORGANIZATION, KEYED, []) for _ in range(2))
    other = further_number(ORGANIZATION, KeyedRequest("e" * 32, "add_new"), [])
    assert first == again
    assert first.row_id != other.row_id
    assert first.sub_organization_id != other.sub_organization_id


def test_without_a_key_the_further_number_is_the_same_for_all_who_find_the_same_rows() -> None:
    known = [row("a"), row("b")]
    first, again = further_number(ORGANIZATION, None, known), further_number(ORGANIZATION, None, reversed(known))
    assert first == again
    others = [further_number(ORGANIZATION, None, found) for found in ([], known[:1], [*known, row(first.row_id)])]
    assert len({number.row_id for number in [first, *others]}) == 4
    assert first.row_id != further_number(str(uuid.uuid4()), None, known).row_id


def test_free_are_numbers_that_were_never_paired_and_a_primary_one_that_was_disconnected() -> None:
    keys: dict[str, Any] = {"wppApiKey": "key_0123456789", "wppAccountNumber": "client_1"}
    sub_id = f"{ORGANIZATION}__wpp__01234567"
    claim = {"id": "theirs", "beat": 1, "doing": "create"}
    rows = {
        "paired primary": row("a", primary=True, wppPaired=True, **keys),
        "from before": row("a", primary=True, **keys),
        "unpaired primary": row("b", primary=True, wppPaired=False, **keys),
        "disconnected primary": row("c", primary=True, active=False, wppPaired=True, wppDisconnected=True, **keys),
        "unfinished": row("d", wppSubOrgId=sub_id),
        "unpaired": row("e", wppSubOrgId=sub_id, wppPaired=False, **keys),
        "disconnected": row("f", active=False, wppSubOrgId=sub_id, wppPaired=True, wppDisconnected=True, **keys),
        "somebody's work": row("g", wppSubOrgId=sub_id, wppClaim=claim),
        "a key's": row("h", wppSubOrgId=sub_id, wppKeyedBy="f"),
    }

    def free(*names: str) -> list[str]:
        found = [rows[name] for name in names]
        numbers = list(free_numbers(ORGANIZATION, found))
        return [name for number in numbers for name in names if number.find(found) is rows[name]]

    assert [name for name in rows if free(name)] == [
        "unpaired primary", "disconnected primary", "unfinished", "unpaired", "somebody's work",
    ]  # fmt: skip
    assert free("unpaired", "unfinished", "unpaired primary") == ["unpaired primary", "unfinished", "unpaired"]


def test_an_id_at_the_platform_that_is_taken_is_passed_over() -> None:
    first = further_number(ORGANIZATION, KEYED, [])
    taken = row("another", wppSubOrgId=first.sub_organization_id)
    second = further_number(ORGANIZATION, KEYED, [taken])
    assert second.row_id == first.row_id
    assert second.sub_organization_id != first.sub_organization_id


def test_a_further_number_is_found_by_the_id_of_its_row_alone() -> None:
    number = further_number(ORGANIZATION, KEYED, [])
    own = row(number.row_id, wppSubOrgId=number.sub_organization_id)
    assert number.find([row("a", primary=True), own]) is own
    assert number.find([row("a", primary=True)]) is None
    assert Number(ORGANIZATION, ORGANIZATION, known_row_id="b").find([row("a", primary=True), row("b")]) == row("b")


def test_the_number_of_a_row() -> None:
    assert number_of(row("a", primary=True)) == Number(ORGANIZATION, ORGANIZATION, None, "a")
    assert number_of(row("a", wppSubOrgId="its own")) == Number(ORGANIZATION, ORGANIZATION, "its own", "a")
    assert number_of(row("a")).row_id == "a"


def test_a_row_is_named_by_its_id_or_its_session_and_else_the_primary_one_is_meant() -> None:
    rows = [
        row("a", wppApiKey="key_0123456789"),
        row("b", wppApiKey="key_0123456789", wppAccountNumber="client_1", wppSubOrgId="its own"),
        row("c", primary=True),
    ]
    assert named_row(iter(rows), Target("a")) is rows[0]
    assert named_row(iter(rows), Target(None, "client_1")) is rows[1]
    assert named_row(iter(rows), Target()) is rows[2]
    assert named_row([], Target()) is None
    for target in (Target("d"), Target(None, "client_2")):
        with pytest.raises(NumberNotFound):
            named_row(rows, target)


def test_free_numbers_come_the_primary_one_first_and_then_the_oldest() -> None:
    rows = [
        row("a", created="3", wppSubOrgId="1"),
        row("d", created="2", wppSubOrgId="2"),
        row("c", created="2", wppSubOrgId="3"),
        row("e", created="4", primary=True),
    ]
    expected = [primary_number(ORGANIZATION), *(number_of(rows[index]) for index in (2, 1, 0))]
    assert list(free_numbers(ORGANIZATION, rows)) == expected
    assert list(free_numbers(ORGANIZATION, rows[:1])) == expected[3:]
