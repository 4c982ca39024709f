"""What is asked of PostgREST for the rows, and what is made of each response."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest

from emulator.faults import Fault
from wpp.errors import (
    NotConfigured,
    OrganizationNotFound,
    RowForbidden,
    RowUnreadable,
    UpstreamError,
    UpstreamUnreadable,
)
from wpp.supabase.rows import OUR_SETTINGS, Integration, Organization, Rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.stack import Stack
    from wpp.runtime import Runtime

TABLE = "messenger_integrations"
BESIDE = "id,organization_id,is_active,is_primary,created_at,updated_at"
WHOLE = f"{BESIDE},settings"
OURS = ",".join([BESIDE, *(f"{name}:settings->{name}" for name in OUR_SETTINGS)])
OF_US = {"provider": "eq.wpp", "messenger_type": "eq.whatsapp"}
JSON = {
    "id": "row-1",
    "organization_id": "organization-1",
    "is_active": True,
    "is_primary": False,
    "created_at": "2026-01-01T00:00:00.12+00:00",
    "updated_at": "2026-01-02T00:00:00.123456+00:00",
}
SETTINGS = {"theirs": 1, "wppApiKey": "key_1"}
ROW = Integration(
    "row-1", "organization-1", True, False, SETTINGS, JSON["created_at"], JSON["updated_at"]  # type: ignore[arg-type]
)  # fmt: skip
UNREADABLE = b"<html>"


@pytest.fixture
def rows(runtime: Runtime) -> Rows:
    return runtime.begin("test", "r", 8).rows


def answer(stack: Stack, *bodies: object, call: str = f"rest.GET.{TABLE}", status: int = 200) -> None:
    for body in bodies:
        encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
        stack.supabase_server.inject(Fault(call, status=status, body=encoded))


def queries(stack: Stack) -> list[dict[str, str]]:
    return [dict(parse_qsl(received.request.query)) for received in stack.supabase_server.received]


def calls(stack: Stack) -> list[str]:
    return [received.call for received in stack.supabase_server.received]


def test_the_rows_of_an_organization_are_asked_for_oldest_first(stack: Stack, rows: Rows) -> None:
    answer(stack, [JSON | {"settings": SETTINGS}])
    assert rows.of_organization("organization-1") == (ROW,)
    filters = {**OF_US, "organization_id": "eq.organization-1", "order": "created_at.asc,id.asc"}
    assert queries(stack) == [{**filters, "select": WHOLE}]
    assert calls(stack) == [f"rest.GET.{TABLE}"]


def test_rows_that_cannot_be_read_whole_are_read_as_far_as_they_are_ours(stack: Stack, rows: Rows) -> None:
    answer(stack, UNREADABLE, [JSON | {"wppApiKey": "key_1", "wppPaired": None, "wppLost": 0, "theirs": 1}])
    partial = ROW._replace(settings={"wppApiKey": "key_1", "wppLost": 0}, is_partial=True)
    assert rows.of_organization("organization-1") == (partial,)
    filters = {**OF_US, "organization_id": "eq.organization-1", "order": "created_at.asc,id.asc"}
    assert queries(stack) == [{**filters, "select": WHOLE}, {**filters, "select": OURS}]


def test_the_rows_of_several_organizations_are_read_in_one_request(stack: Stack, rows: Rows) -> None:
    answer(stack, [JSON | {"wppApiKey": "key_1"}])
    assert rows.of_organizations(["a", "b"]) == (ROW._replace(settings={"wppApiKey": "key_1"}, is_partial=True),)
    assert queries(stack) == [{**OF_US, "organization_id": "in.(a,b)", "select": OURS}]


@pytest.mark.parametrize(("after", "from_there"), [(None, {}), ("row-0", {"id": "gt.row-0"})])
def test_a_page_of_rows_begins_after_the_last_one(
    stack: Stack, rows: Rows, after: str | None, from_there: dict[str, str]
) -> None:
    answer(stack, [JSON | {"settings": SETTINGS}])
    assert rows.page(after, 7) == (ROW,)
    assert queries(stack) == [{**OF_US, "order": "id.asc", **from_there, "limit": "7", "select": WHOLE}]


def test_a_page_that_cannot_be_read_is_halved_down_to_one_row_without_its_settings(stack: Stack, rows: Rows) -> None:
    answer(stack, UNREADABLE, UNREADABLE, UNREADABLE, [JSON])
    assert rows.page("row-0", 5) == (ROW._replace(settings={}, is_partial=True),)
    assert [(query["limit"], query["select"]) for query in queries(stack)] == [
        ("5", WHOLE),
        ("2", WHOLE),
        ("1", WHOLE),
        ("1", BESIDE),
    ]
    assert {query["id"] for query in queries(stack)} == {"gt.row-0"}


@pytest.mark.parametrize(("found", "row"), [([JSON | {"settings": SETTINGS}], ROW), ([], None)])
def test_a_row_is_read_by_its_id(stack: Stack, rows: Rows, found: list[Any], row: Integration | None) -> None:
    answer(stack, found)
    assert rows.by_id("row-1") == row
    assert queries(stack) == [{"id": "eq.row-1", "select": WHOLE}]


def test_a_row_that_is_twice_unreadable_while_our_part_of_it_is_not_is_named(stack: Stack, rows: Rows) -> None:
    answer(stack, UNREADABLE, UNREADABLE, [JSON])
    with pytest.raises(RowUnreadable) as caught:
        rows.by_id("row-1")
    assert str(caught.value) == (
        f"settings of row row-1 in {TABLE} is too large or too deep to be read: correct it or clear it"
    )
    assert [query["select"] for query in queries(stack)] == [WHOLE, WHOLE, OURS]
    assert {query["id"] for query in queries(stack)} == {"eq.row-1"}


def test_a_response_that_is_never_readable_does_not_blame_the_row(stack: Stack, rows: Rows) -> None:
    answer(stack, UNREADABLE, UNREADABLE, UNREADABLE)
    with pytest.raises(UpstreamUnreadable):
        rows.by_id("row-1")


@pytest.mark.parametrize(("profiles", "is_visible"), [([{"id": "x"}], True), ([], False)])
def test_our_key_sees_the_profiles_if_it_sees_any(
    stack: Stack, rows: Rows, profiles: list[Any], is_visible: bool
) -> None:
    answer(stack, profiles, call="rest.GET.profiles")
    assert rows.is_table_of_users_visible() is is_visible
    assert queries(stack) == [{"select": "id", "limit": "1"}]


@pytest.mark.parametrize(
    ("changed", "read"),
    [
        ({}, ROW),
        ({"id": 7, "organization_id": 8, "created_at": 9}, ROW._replace(id="7", organization_id="8", created_at="9")),
        ({"is_active": None, "is_primary": 1}, ROW._replace(is_active=False, is_primary=True)),
        ({"updated_at": None}, ROW._replace(updated_at=None)),
        ({"updated_at": 5}, ROW._replace(updated_at="5")),
        ({"settings": None}, ROW._replace(settings=None)),
        ({"settings": "text", "wppApiKey": "key_2"}, ROW._replace(settings="text")),
    ],
)
def test_a_row_is_read_whatever_its_columns_hold(
    stack: Stack, rows: Rows, changed: dict[str, Any], read: Integration
) -> None:
    answer(stack, [JSON | {"settings": SETTINGS} | changed])
    assert rows.of_organization("organization-1") == (read,)


@pytest.mark.parametrize("body", [[{}], [3], [JSON, "x"], *([{k: v for k, v in JSON.items() if k != n}] for n in JSON)])
def test_a_row_without_one_of_its_columns_is_an_error(stack: Stack, rows: Rows, body: object) -> None:
    answer(stack, body)
    with pytest.raises(UpstreamUnreadable) as caught:
        rows.of_organizations(["organization-1"])
    assert str(caught.value) == f"Supabase answered without the expected columns, status 200 (rest.GET.{TABLE})"


def test_a_row_is_shown_without_its_settings() -> None:
    assert repr(ROW) == "Integration(row-1, ***)"


COLUMNS = {"id": "row-1", "organization_id": "organization-1", "settings": {"a": 1}}


@pytest.mark.parametrize(("inserted", "row"), [([JSON | {"settings": SETTINGS}], ROW), ([], None)])
def test_an_insert_leaves_a_row_alone_that_is_there_already(
    stack: Stack, rows: Rows, inserted: list[Any], row: Integration | None
) -> None:
    answer(stack, inserted, call=f"rest.POST.{TABLE}", status=201)
    assert rows.insert(COLUMNS) == row
    (received,) = stack.supabase_server.received
    assert queries(stack) == [{"on_conflict": "id", "select": WHOLE}]
    assert received.request.json() == COLUMNS
    assert received.request.headers["prefer"] == "resolution=ignore-duplicates,return=representation"


def test_an_insert_that_a_unique_constraint_forbids_names_the_constraint(stack: Stack, rows: Rows) -> None:
    message = 'duplicate key value violates unique constraint "one_primary"'
    answer(stack, {"code": "23505", "message": message}, call=f"rest.POST.{TABLE}", status=409)
    with pytest.raises(RowForbidden, match="The unique constraint one_primary of"):
        rows.insert(COLUMNS)


@pytest.mark.parametrize("details", [None, "Ключ (organization_id)=(organization-1) отсутствует в таблице"])
def test_an_insert_into_an_organization_that_was_deleted_says_so(stack: Stack, rows: Rows, details: str | None) -> None:
    refused = {"code": "23503", "message": "foreign key", "details": details}
    answer(stack, refused, call=f"rest.POST.{TABLE}", status=409)
    with pytest.raises(OrganizationNotFound):
        rows.insert(COLUMNS)


@pytest.mark.parametrize(
    ("code", "message", "text"),
    [
        ("23503", 'violates foreign key constraint "providers_fkey"', "foreign key constraint providers_fkey"),
        ("23514", 'new row violates check constraint "known_provider"', "check constraint known_provider"),
    ],
)
def test_an_insert_that_another_constraint_forbids_names_the_constraint(
    stack: Stack, rows: Rows, code: str, message: str, text: str
) -> None:
    refused = {"code": code, "message": message, "details": "Key (provider)=(wpp) is not present"}
    answer(stack, refused, call=f"rest.POST.{TABLE}", status=409)
    with pytest.raises(NotConfigured) as caught:
        rows.insert(COLUMNS)
    assert str(caught.value) == f"The {text} of {TABLE} forbids the row that we need ({code})"


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (409, {"code": "22001"}, "Supabase refused with status 409: 22001"),
        (500, {"code": "57014"}, "Supabase failed with status 500"),
        (201, [{}], "Supabase answered without the expected columns, status 201"),
        (201, {}, "Supabase answered without a list of rows, status 201"),
    ],
)
def test_an_insert_with_any_other_outcome_is_an_error(
    stack: Stack, rows: Rows, status: int, body: object, text: str
) -> None:
    answer(stack, body, call=f"rest.POST.{TABLE}", status=status)
    with pytest.raises(UpstreamError) as caught:
        rows.insert(COLUMNS)
    assert str(caught.value) == f"{text} (rest.POST.{TABLE})"


PROFILE = {"organization_id": "organization-1", "organizations": {TABLE: [JSON | {"settings": SETTINGS}]}}


def of_user(columns: str, role: str = "") -> dict[str, str]:
    return {
        "id": "eq.user-1",
        "select": f"organization_id,{role}organizations!organization_id({TABLE}!organization_id({columns}))",
        f"organizations.{TABLE}.provider": "eq.wpp",
        f"organizations.{TABLE}.messenger_type": "eq.whatsapp",
        f"organizations.{TABLE}.order": "created_at.asc,id.asc",
    }


def test_a_users_organization_and_its_rows_are_one_request(stack: Stack, rows: Rows) -> None:
    answer(stack, [PROFILE], call="rest.GET.profiles")
    assert rows.of_user("user-1") == Organization("organization-1", (ROW,), None)
    assert queries(stack) == [of_user(WHOLE)]


@pytest.mark.parametrize(("embedded", "read"), [(JSON | {"settings": SETTINGS}, (ROW,)), (None, ())])
def test_a_table_that_allows_one_row_for_each_organization_embeds_it_without_a_list(
    stack: Stack, rows: Rows, embedded: object, read: tuple[Integration, ...]
) -> None:
    answer(stack, [PROFILE | {"organizations": {TABLE: embedded}}], call="rest.GET.profiles")
    assert rows.of_user("user-1") == Organization("organization-1", read, None)


def test_a_row_that_cannot_be_read_whole_does_not_hide_a_users_organization(stack: Stack, rows: Rows) -> None:
    embedded = {**PROFILE, "organization_id": 7, "organizations": {TABLE: [JSON | {"wppApiKey": "key_1"}]}}
    answer(stack, UNREADABLE, [embedded], call="rest.GET.profiles")
    partial = ROW._replace(settings={"wppApiKey": "key_1"}, is_partial=True)
    assert rows.of_user("user-1") == Organization("7", (partial,), None)
    assert queries(stack) == [of_user(WHOLE), of_user(OURS)]


@pytest.mark.parametrize(("found", "role"), [("admin", "admin"), (None, None), (3, None)])
def test_the_users_role_is_read_where_roles_matter(
    stack: Stack, runtime: Runtime, found: object, role: str | None
) -> None:
    config = runtime.config._replace(allowed_roles=frozenset({"admin"}), role_column="position")
    rows = Rows(config, runtime.begin("test", "r", 8).upstream)
    answer(stack, [PROFILE | {"wpp_role": found}], call="rest.GET.profiles")
    assert rows.of_user("user-1") == Organization("organization-1", (ROW,), role)
    assert queries(stack) == [of_user(WHOLE, "wpp_role:position,")]


@pytest.mark.parametrize("profiles", [[], [PROFILE | {"organization_id": None}], [PROFILE | {"organizations": None}]])
def test_a_user_without_an_organization_has_no_rows(stack: Stack, rows: Rows, profiles: list[Any]) -> None:
    answer(stack, profiles, call="rest.GET.profiles")
    assert rows.of_user("user-1") is None


@pytest.mark.parametrize(
    "profiles",
    [
        [3],
        [{}],
        [{"organization_id": "a"}],
        [PROFILE | {"organizations": {}}],
        [PROFILE | {"organizations": {TABLE: 3}}],
        [PROFILE | {"organizations": {TABLE: ["x"]}}],
    ],
)
def test_a_profile_without_the_expected_columns_is_an_error(stack: Stack, rows: Rows, profiles: list[Any]) -> None:
    answer(stack, profiles, profiles, call="rest.GET.profiles")
    with pytest.raises(UpstreamUnreadable) as caught:
        rows.of_user("user-1")
    assert str(caught.value) == "Supabase answered without the expected columns, status 200 (rest.GET.profiles)"


@pytest.mark.parametrize(
    "call", [lambda rows: rows.of_organization("x"), lambda rows: rows.of_user("x"), lambda rows: rows.by_id("x")]
)
def test_a_read_that_hangs_is_repeated_once_the_timeout_has_passed(
    stack: Stack, runtime: Runtime, call: Callable[[Rows], object]
) -> None:
    rows = Rows(runtime.config, runtime.begin("test", "r", 5).upstream, 0.5)
    stack.supabase_server.inject(Fault("*", "hang"))
    answer(stack, [], call="*")
    assert not call(rows)
