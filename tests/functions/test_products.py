"""The functions over the tables of products that differ, and over rows that others wrote."""

from __future__ import annotations

import importlib.util
import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from emulator.faults import Fault
from emulator.processes import ROOT
from emulator.stack import Stack
from emulator.supabase.postgres.databases import SCHEMA
from tests.support.callers import CREATE, PROVISION, new_caller
from wpp.errors import UpstreamBroken, UpstreamRefused
from wpp.faas import function
from wpp.faas.messages import Request
from wpp.provisioning.service import connect

if TYPE_CHECKING:
    from tests.support.callers import Caller
    from tests.support.ledger import Ledger
    from wpp.runtime import Runtime

TABLE = "messenger_integrations"
TRIGGER = f"""
create function touch() returns trigger language plpgsql as 'begin new.updated_at = now(); return new; end';
create trigger touch before update on {TABLE} for each row execute function touch();
"""
REFUSING_TRIGGER = f"""
create function refuse() returns trigger language plpgsql as 'begin return null; end';
create trigger refuse before update on {TABLE} for each row execute function refuse();
"""


class Variant(NamedTuple):
    ddl: str = ""
    """Beside the usual tables."""
    later: str = ""
    """The same for what `make run` would not start with."""
    body: dict[str, Any] | None = None
    connected_before: bool = False
    row_of_another_provider: bool = False
    is_anon: bool = False
    status: int = 200
    says: str = ""
    leaves: int = 0
    """Clients at the platform that the next call finds by its idempotency key."""


ONE_PRIMARY = f"create unique index one_primary on {TABLE} (organization_id, messenger_type) where is_primary;"
ONE_NUMBER = f"alter table {TABLE} add constraint one_number unique (organization_id, messenger_type, provider);"
VARIANTS = {
    "the usual tables": Variant(),
    "a trigger sets updated_at": Variant(TRIGGER),
    "updated_at is always null": Variant(f"alter table {TABLE} alter updated_at drop default;"),
    "one primary row": Variant(ONE_PRIMARY),
    "one primary row, another provider's": Variant(ONE_PRIMARY, row_of_another_provider=True),
    "one number": Variant(ONE_NUMBER),
    "one active row, another provider's": Variant(
        f"create unique index one_active on {TABLE} (organization_id, messenger_type) where is_active;",
        row_of_another_provider=True,
        status=409,
        says="one_active",
        leaves=1,
    ),
    "one number, and another is added": Variant(
        ONE_NUMBER, body={"add_new": True}, connected_before=True, status=409, says="one_number"
    ),
    "a further foreign key of profiles": Variant(
        "alter table profiles add column invited_by uuid references organizations (id);"
    ),
    "a further foreign key of the rows": Variant(
        f"alter table {TABLE} add column sold_by uuid references organizations (id);", status=500, says="foreign keys"
    ),
    "a column that we do not know": Variant(
        later=f"alter table {TABLE} add column region text; alter table {TABLE} alter region set not null;",
        status=500,
        says=f"{TABLE}.region",
    ),
    "our key is the anon one": Variant(is_anon=True, status=500, says="SUPABASE_SERVICE_ROLE_KEY"),
    "our key may not write": Variant(
        later=f"revoke insert, update on {TABLE} from service_role;", status=500, says="SUPABASE_SERVICE_ROLE_KEY"
    ),
    "our key sees no profile": Variant(later="delete from profiles;", status=500, says="SUPABASE_SERVICE_ROLE_KEY"),
    "changes are not carried out": Variant(later=REFUSING_TRIGGER, status=500, says="does not carry it out", leaves=1),
    "settings may not be null": Variant(f"alter table {TABLE} alter settings set not null;"),
}


def answer_of(name: str, caller: Caller, body: Any = None) -> tuple[int, dict[str, Any]]:
    spec = importlib.util.spec_from_file_location(f"product_{name}", ROOT / f"functions/{name}/main.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    headers = {"authorization": f"Bearer {caller.token}"}
    answer = function.respond(module.FUNCTION, Request("POST", headers, json.dumps(body or {}).encode()))
    return answer.status, json.loads(answer.body)


@pytest.fixture
def _new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(function, "_PROCESS", function.Process())


@pytest.mark.usefixtures("_new_process")
@pytest.mark.parametrize("name", [CREATE, PROVISION])
@pytest.mark.parametrize("kind", VARIANTS)
def test_the_tables_of_products_differ(kind: str, name: str, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    variant = VARIANTS[kind]
    body = variant.body if name == CREATE else None
    with Stack(schema=SCHEMA + variant.ddl) as stack:
        stack.platform.settings.qr_delay = 0
        env = stack.environment() | {"WPP_DEADLINE_SECONDS": "10"}
        if variant.is_anon:
            env["SUPABASE_SERVICE_ROLE_KEY"] = stack.supabase.anon_key
        for variable, value in env.items():
            monkeypatch.setenv(variable, value)
        caller = new_caller(stack, {})
        others = []
        if variant.row_of_another_provider:
            others = [
                stack.supabase.insert_row(
                    organization_id=caller.organization_id, provider="other", is_primary=True, settings={"token": "x"}
                )
            ]
        if variant.connected_before:
            assert answer_of(CREATE, caller)[0] == 200
        if variant.later:
            stack.supabase.execute(variant.later)
        before = len(stack.platform.clients)

        status, answer = answer_of(name, caller, body)
        again, _ = answer_of(name, caller, body)

        expected = variant.status if body == variant.body else 200
        ledger.line(f"{kind:<40}{name:<15}{status} {answer.get('code') or answer.get('status')}")
        assert (status, again) == (expected, expected), answer
        assert variant.says in json.dumps(answer) or status == 200
        if status != 200:
            assert len(stack.platform.clients) - before == variant.leaves
            assert len(stack.supabase_server.received) < 120, "of two calls"
        rows = stack.supabase.rows(caller.organization_id)
        assert [row for row in rows if row["provider"] == "other"] == others


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
    assert row["id"] in answer.json()["error"]
    assert "settings" in answer.json()["error"]
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
    assert caller.create().status_code == 200
    assert caller.row()["is_active"] is False
