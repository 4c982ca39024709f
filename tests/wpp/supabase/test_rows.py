"""The stored rows: found, inserted once, changed only as they were read."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from emulator.faults import Fault
from wpp.errors import OrganizationNotFound, RowForbidden, RowUnreadable, UpstreamBroken, UpstreamRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emulator.stack import Stack
    from wpp.runtime import Runtime
    from wpp.supabase.rows import Edit, Integration, Rows


@pytest.fixture
def organization_id(stack: Stack) -> str:
    organization_id = str(uuid.uuid4())
    stack.supabase.add_user(f"{organization_id}@example.com", organization_id=organization_id)
    return organization_id


@pytest.fixture
def rows(runtime: Runtime) -> Rows:
    return runtime.begin("test", "r", 8).rows


@pytest.fixture
def row(stack: Stack, rows: Rows, organization_id: str) -> Integration:
    stack.supabase.insert_row(organization_id=organization_id, settings={"theirs": 1})
    (row,) = rows.of_organization(organization_id)
    return row


def columns(organization_id: str, row_id: str) -> dict[str, Any]:
    return {
        "id": row_id,
        "organization_id": organization_id,
        "messenger_type": "whatsapp",
        "provider": "wpp",
        "settings": {},
    }


def test_a_user_without_a_profile_or_an_organization_has_none(stack: Stack, rows: Rows) -> None:
    user_id = stack.supabase.add_user(f"{uuid.uuid4()}@example.com")
    assert rows.of_user(user_id) is None
    assert rows.of_user(str(uuid.uuid4())) is None


def test_only_whatsapp_rows_of_this_provider_are_seen(stack: Stack, rows: Rows) -> None:
    organization_id = str(uuid.uuid4())
    user_id = stack.supabase.add_user(f"{organization_id}@example.com", organization_id=organization_id)
    stack.supabase.insert_row(organization_id=organization_id, messenger_type="telegram")
    stack.supabase.insert_row(organization_id=organization_id, provider="other")
    mine = stack.supabase.insert_row(organization_id=organization_id)
    organization = rows.of_user(user_id)
    assert organization is not None
    assert [row.id for row in organization.integrations] == [mine["id"]]
    assert [row.id for row in rows.of_organization(organization_id)] == [mine["id"]]


def adding(settings: Mapping[str, Any]) -> Edit:
    return lambda row: None if settings.items() <= row.settings.items() else {"settings": {**row.settings, **settings}}


def test_a_row_without_updated_at_is_changed_only_as_it_was_read_too(
    stack: Stack, rows: Rows, row: Integration
) -> None:
    stack.supabase.execute("update messenger_integrations set updated_at = null where id = %s", row.id)
    read = rows.by_id(row.id)
    assert read is not None
    assert read.updated_at is None
    # Somebody was faster, and their code sets `updated_at`.
    assert rows.change(read, adding({"somebody's": 2})) is not None
    changed = rows.change(read, adding({"ours": 3}))
    assert changed is not None
    assert changed.settings == {"theirs": 1, "somebody's": 2, "ours": 3}


def test_of_many_inserts_of_one_id_one_is_made(rows: Rows, organization_id: str) -> None:
    row_id = str(uuid.uuid4())
    with ThreadPoolExecutor(20) as threads:
        made = list(threads.map(lambda _: rows.insert(columns(organization_id, row_id)), range(20)))
    assert sum(row is not None for row in made) == 1


def test_an_insert_that_clashes_with_another_unique_column_names_the_constraint(
    stack: Stack, rows: Rows, row: Integration
) -> None:
    (stored,) = stack.supabase.rows(row.organization_id)
    taken = {"webhook_key": stored["webhook_key"]}
    with pytest.raises(RowForbidden, match="messenger_integrations_webhook_key_key"):
        rows.insert(columns(row.organization_id, str(uuid.uuid4())) | taken)


def test_an_insert_for_an_organization_that_is_gone_is_refused(rows: Rows) -> None:
    with pytest.raises(OrganizationNotFound):
        rows.insert(columns(str(uuid.uuid4()), str(uuid.uuid4())))


def test_a_change_keeps_what_another_wrote_in_between(stack: Stack, rows: Rows, row: Integration) -> None:
    seen: list[dict[str, Any]] = []

    def edit(current: Integration) -> Mapping[str, Any] | None:
        if "ours" in current.settings:
            return None
        if not seen:
            sql = "update messenger_integrations set settings = %s, updated_at = %s where id = %s"
            stack.supabase.execute(sql, '{"theirs": 2}', "2030-01-01T00:00:00+00:00", row.id)
        seen.append(dict(current.settings))
        return {"settings": {**current.settings, "ours": 1}}

    changed = rows.change(row, edit)

    assert seen == [{"theirs": 1}, {"theirs": 2}]
    assert changed is not None
    assert changed.settings == {"theirs": 2, "ours": 1}


@pytest.mark.parametrize("trigger", [True, False])
def test_many_changes_at_once_lose_nothing(stack: Stack, rows: Rows, row: Integration, trigger: bool) -> None:
    stack.supabase.database.updated_at_trigger = trigger

    def add(number: int) -> None:
        def edit(current: Integration) -> dict[str, Any] | None:
            key = f"n{number}"
            return None if key in current.settings else {"settings": {**current.settings, key: 1}}

        rows.change(row, edit)

    try:
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(add, range(12)))
    finally:
        stack.supabase.database.updated_at_trigger = False

    stored = rows.by_id(row.id)
    assert stored is not None
    assert set(stored.settings) == {"theirs", *(f"n{number}" for number in range(12))}


def test_a_change_whose_answer_was_lost_is_not_made_twice(stack: Stack, rows: Rows, row: Integration) -> None:
    stack.supabase_server.inject(Fault("rest.PATCH.messenger_integrations", "reset", after_effect=True))

    def edit(current: Integration) -> dict[str, Any] | None:
        return None if "ours" in current.settings else {"settings": {**current.settings, "ours": 1}}

    changed = rows.change(row, edit)

    assert changed is not None
    assert "ours" in changed.settings
    assert stack.supabase_server.count("rest.PATCH.messenger_integrations") == 1


def test_a_change_of_a_row_that_is_gone_is_none(stack: Stack, rows: Rows, row: Integration) -> None:
    stack.supabase.execute("delete from messenger_integrations where id = %s", row.id)
    assert rows.change(row, lambda _: {"name": "x"}) is None


@pytest.mark.parametrize("body", [b"", b"null", b"{}", b"<html>", b'[{"id": 1}]', b'[{"settings": "x"}]', b"[3]"])
def test_an_answer_that_makes_no_sense_is_an_error(stack: Stack, rows: Rows, organization_id: str, body: bytes) -> None:
    stack.supabase_server.inject(Fault("*", status=200, body=body, times=None))
    with pytest.raises(UpstreamBroken):
        rows.of_organization(organization_id)


def test_one_malformed_response_does_not_make_a_row_unreadable(stack: Stack, rows: Rows, row: Integration) -> None:
    stack.supabase_server.inject(Fault("*", status=200, body=b"<html>"))
    assert rows.by_id(row.id) == row
    stack.supabase_server.inject(Fault("*", status=200, body=b"<html>", times=2))
    with pytest.raises(RowUnreadable, match=row.id):
        rows.by_id(row.id)


def test_a_new_style_key_goes_in_apikey_only(stack: Stack, organization_id: str) -> None:
    from wpp.config import config_from
    from wpp.runtime import Runtime

    runtime = Runtime(config_from(stack.environment() | {"SUPABASE_SERVICE_ROLE_KEY": stack.supabase.secret_key}))
    assert runtime.begin("test", "r", 5).rows.of_organization(organization_id) == ()
    assert "authorization" not in stack.supabase_server.received[-1].request.headers
    runtime.close()


def test_a_refused_service_key_is_named_by_its_variable(stack: Stack, rows: Rows, organization_id: str) -> None:
    stack.supabase_server.inject(Fault("*", status=401, body=b'{"code": "PGRST301", "message": "JWSError"}'))
    with pytest.raises(UpstreamRefused, match="SUPABASE_SERVICE_ROLE_KEY"):
        rows.of_organization(organization_id)
