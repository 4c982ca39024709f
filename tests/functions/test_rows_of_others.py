"""The functions over rows that others wrote, and over rows that change during a call."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from emulator.faults import Fault
from tests.support.callers import CREATE, new_caller
from wpp.errors import UpstreamBroken, UpstreamRefused
from wpp.provisioning.service import connect

if TYPE_CHECKING:
    from tests.support.callers import Caller
    from wpp.runtime import Runtime

TABLE = "messenger_integrations"
ODD_SETTINGS: list[Any] = [
    None,
    "",
    [],
    {},
    {"theirs": {"deep": [1.10, 10**400, "x"]}},
    {"wppClaim": 5, "wppApiKey": []},
]


@pytest.mark.parametrize("settings", ODD_SETTINGS, ids=str)
def test_a_row_of_ours_with_nothing_of_value_in_it_is_repaired(caller: Caller, settings: Any) -> None:
    caller.stack.supabase.insert_row(organization_id=caller.organization_id, is_primary=True, settings=settings)
    assert caller.create().status_code == 200
    stored = caller.row()["settings"]
    assert stored["wppApiKey"]
    if isinstance(settings, dict) and "theirs" in settings:
        assert stored["theirs"] == settings["theirs"]


@pytest.mark.parametrize("settings", ["text", [1], 5, True, 1.5])
def test_a_row_of_ours_that_holds_something_else_is_named_and_kept(caller: Caller, settings: Any) -> None:
    row = caller.stack.supabase.insert_row(organization_id=caller.organization_id, is_primary=True, settings=settings)
    answer = caller.create()
    assert (answer.status_code, answer.json()["code"]) == (500, "row_unreadable")
    assert row["id"] not in answer.text
    assert f"settings of row {row['id']} in messenger_integrations" in caller.processes[CREATE].output()
    assert caller.row()["settings"] == settings
    assert not caller.stack.platform_server.count("create")


def test_an_object_that_was_encoded_twice_is_read_and_stored_as_an_object(caller: Caller) -> None:
    settings = json.dumps({"wppSubOrgId": "", "theirs": 1})
    caller.stack.supabase.insert_row(organization_id=caller.organization_id, is_primary=True, settings=settings)
    assert caller.create().status_code == 200
    assert caller.row()["settings"]["theirs"] == 1


@pytest.mark.parametrize("kind", ["text", "list", "5 MB", "deep", "many digits"])
def test_one_odd_row_does_not_stand_in_the_way_of_the_others(caller: Caller, kind: str) -> None:
    deep: Any = 1
    for _ in range(900):
        deep = [deep]
    settings = {
        "text": "text",
        "list": [1],
        "5 MB": {"x": "y" * 5_000_000},
        "deep": {"x": deep},
        "many digits": {"x": 10**4000},
    }[kind]
    first = caller.create().json()
    caller.stack.supabase.insert_row(
        organization_id=caller.organization_id, is_primary=False, is_active=False, settings=settings
    )
    answer = caller.create()
    assert (answer.status_code, answer.json()["session"]) == (200, first["session"])
    assert caller.provision().json()["session"] == first["session"]


@pytest.mark.parametrize(
    "settings",
    [
        '{"wppClaim": {"id": "a", "beat": 1.50}}',
        '{"wppClaim": {"id": 1.10, "beat": 1}}',
        '{"wppSubOrgId": 1.50}',
        '{"wppKeyedBy": 1.50, "wppRequests": 1e400, "wppStartedAt": 1.10}',
        '"{\\"theirs\\": 1.10}"',
    ],
)
def test_numbers_in_the_place_of_ours_lock_nobody_out(caller: Caller, settings: str) -> None:
    caller.stack.supabase.insert_row(organization_id=caller.organization_id, is_primary=True, settings={})
    sql = f"update {TABLE} set settings = %s::jsonb where organization_id = %s"
    caller.stack.supabase.execute(sql, settings, caller.organization_id)
    assert caller.create().status_code == 200
    assert caller.row()["settings"]["wppApiKey"]


@pytest.mark.parametrize("text", ['{"a": NaN}', '{"a": "\\ud800"}', '{"a": "\\u0000"}'])
def test_an_encoded_object_that_jsonb_cannot_hold_is_named_and_kept(caller: Caller, text: str) -> None:
    caller.stack.supabase.insert_row(organization_id=caller.organization_id, is_primary=True, settings=text)
    assert caller.create().json()["code"] == "row_unreadable"
    assert caller.row()["settings"] == text


def test_an_insert_that_never_succeeds_is_not_repeated_without_end(caller: Caller, runtime: Runtime) -> None:
    caller.stack.supabase_server.inject(Fault(f"rest.POST.{TABLE}", status=503, times=None))
    with pytest.raises(UpstreamBroken):
        connect(runtime.begin("wpp-create", "id"), caller.token)
    assert caller.stack.supabase_server.count(f"rest.POST.{TABLE}") <= 4


def test_a_claim_on_a_start_whose_taking_fails_is_not_left_behind(caller: Caller, runtime: Runtime) -> None:
    caller.create()
    caller.stack.platform.disconnect(caller.session().name)
    caller.stack.supabase_server.inject(Fault(f"rest.PATCH.{TABLE}", status=503, after_effect=True))
    caller.stack.supabase_server.inject(Fault(f"rest.GET.{TABLE}", status=400))
    with pytest.raises(UpstreamRefused):
        connect(runtime.begin("wpp-create", "id"), caller.token)
    assert "wppClaim" not in caller.row()["settings"]


def test_a_malformed_response_to_a_change_is_settled_by_reading(caller: Caller) -> None:
    fault = Fault(f"rest.PATCH.{TABLE}", status=200, body=b"[1]", after_effect=True, times=2)
    caller.stack.supabase_server.inject(fault)
    assert caller.create().status_code == 200


def test_numbers_that_are_not_ours_stay_as_they_are_digit_by_digit(caller: Caller) -> None:
    caller.stack.supabase.insert_row(organization_id=caller.organization_id, is_primary=True, settings={})
    numbers = '{"a": 1.10, "b": 1e400, "c": 0.1234567890123456789, "d": -12345678901234567890, "e": ' + "9" * 5000 + "}"
    sql = f"update {TABLE} set settings = %s::jsonb where organization_id = %s"
    caller.stack.supabase.execute(sql, numbers, caller.organization_id)
    kept = (
        "select (settings - array(select k from jsonb_object_keys(settings) k where k like 'wpp%%'))::text"
        f" from {TABLE} where organization_id = %(organization)s"
    )
    organization = {"organization": caller.organization_id}
    before = caller.stack.supabase.database.query(kept, organization)

    assert caller.create().status_code == 200

    assert caller.stack.supabase.database.query(kept, organization) == before


def test_a_later_empty_row_never_wins_over_one_with_credentials(caller: Caller) -> None:
    first = caller.create().json()["session"]
    caller.stack.supabase.execute(
        f"update {TABLE} set is_primary = false where organization_id = %s", caller.organization_id
    )
    caller.stack.supabase.insert_row(organization_id=caller.organization_id, is_primary=True, settings={})
    assert caller.create().json()["session"] == first
    assert caller.stack.platform_server.count("create") == 1


def test_a_keyed_and_an_unkeyed_further_number_are_never_shared(caller: Caller) -> None:
    caller.create()
    caller.stack.supabase_server.inject(Fault(f"rest.PATCH.{TABLE}", status=400, times=None))
    assert caller.create({"add_new": True}, Idempotency_Key="one").status_code == 502
    caller.stack.supabase_server.clear_faults()
    unkeyed = caller.create({"add_new": True}).json()["session"]
    keyed = caller.create({"add_new": True}, Idempotency_Key="one").json()["session"]
    assert unkeyed != keyed


def during(monkeypatch: pytest.MonkeyPatch, caller: Caller, method: str, sql: str) -> None:
    """Has somebody else run `sql`, with the organization's id for {0}, once, while the platform is at work in `method`."""
    platform = caller.stack.platform
    real = getattr(platform, method)
    done: list[bool] = []

    def followed(*arguments: Any) -> Any:
        result = real(*arguments)
        if not done:
            done.append(True)
            caller.stack.supabase.execute(sql.format(caller.organization_id))
        return result

    monkeypatch.setattr(platform, method, followed)


def test_an_organization_that_is_deleted_during_a_call_is_not_found(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave = "update profiles set organization_id = null where organization_id = '{0}'; "
    during(monkeypatch, caller, "create", leave + "delete from organizations where id = '{0}'")
    answer = caller.create()
    assert (answer.status_code, answer.json()["code"]) == (404, "organization_not_found")


@pytest.mark.parametrize("by_key_only", [True, False])
def test_a_row_that_is_deleted_during_a_creation_comes_back_with_the_same_client(
    caller: Caller, monkeypatch: pytest.MonkeyPatch, *, by_key_only: bool
) -> None:
    caller.stack.platform.settings.one_client_per_organization = not by_key_only
    caller.stack.supabase.insert_row(organization_id=caller.organization_id, settings={})
    during(monkeypatch, caller, "create", f"delete from {TABLE} where organization_id = '{{0}}'")
    assert caller.create().status_code == 200
    (client,) = caller.stack.platform.clients_of(caller.organization_id)
    assert caller.row()["settings"]["wppApiKey"] == client.api_key


def test_a_user_who_moves_to_another_organization_during_a_call_gets_the_answer_of_the_first(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = new_caller(caller.stack, caller.processes)
    move = f"update profiles set organization_id = '{other.organization_id}' where organization_id = '{{0}}'"
    during(monkeypatch, caller, "create", move)
    assert caller.create().json()["session"] == caller.row()["settings"]["wppAccountNumber"]
    assert other.rows() == []


def test_a_number_that_is_switched_off_during_a_call_stays_off(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    caller.create()
    caller.stack.platform.revoke_tokens(caller.session().name)  # so that there is something to save
    during(
        monkeypatch,
        caller,
        "state",
        f"update {TABLE} set is_active = false, updated_at = now() where organization_id = '{{0}}'",
    )
    answer = caller.create()
    assert (answer.status_code, answer.json()["status"]) == (200, "starting")
    assert caller.row()["is_active"] is False
