"""The functions over the tables of products that differ."""

from __future__ import annotations

import importlib.util
import json
import logging
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from emulator.processes import ROOT
from emulator.stack import Stack
from emulator.supabase.postgres.databases import SCHEMA
from tests.support.callers import CONNECTING, CREATE, new_caller
from wpp.faas import function
from wpp.faas.messages import Request

if TYPE_CHECKING:
    from tests.support.callers import Caller
    from tests.support.ledger import Ledger

TABLE = "messenger_integrations"
MOST_REQUESTS = 60  # of one call, whatever the tables do


def trigger(body: str) -> str:
    """Before each insertion or update of a row."""
    return f"""
create function react() returns trigger language plpgsql as $$ begin {body} return new; end $$;
create trigger react before insert or update on {TABLE} for each row execute function react();
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
    "a trigger sets updated_at": Variant(trigger("new.updated_at = now();")),
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
        f"alter table {TABLE} add column sold_by uuid references organizations (id);"
    ),
    "organizations name one of their rows": Variant(
        f"alter table organizations add column messenger_id uuid references {TABLE} (id);"
    ),
    "a table between both": Variant(
        f"""create table members (organization_id uuid references organizations (id), row_id uuid references {TABLE} (id),
        primary key (organization_id, row_id));"""
    ),
    "one row for each organization": Variant(f"alter table {TABLE} add constraint one_row unique (organization_id);"),
    "a list of providers without ours": Variant(
        "create table providers (code text primary key);",
        later=f"alter table {TABLE} add constraint known_provider foreign key (provider) references providers (code);",
        status=500,
        says="known_provider",
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
    "changes are not carried out": Variant(
        later=trigger("if tg_op = 'UPDATE' then return null; end if;"),
        status=500,
        says="does not carry it out",
        leaves=1,
    ),
    "changes are undone": Variant(
        later=trigger("if tg_op = 'UPDATE' then new.settings = old.settings; end if;"),
        status=500,
        says="does not carry it out",
        leaves=1,
    ),
    "rows stay inactive": Variant(
        later=trigger("new.is_active = false;"), status=500, says="does not carry it out", leaves=1
    ),
    "claims are taken away": Variant(
        later=trigger("new.settings = new.settings - 'wppClaim';"), status=500, says="does not carry it out"
    ),
    "settings may not be null": Variant(f"alter table {TABLE} alter settings set not null;"),
}


def requests_received(stack: Stack) -> int:
    return len(stack.supabase_server.received) + len(stack.platform_server.received)


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
@pytest.mark.parametrize("body", ["new.is_active = true;", "new.settings = new.settings - 'wppDisconnected';"])
def test_a_disconnection_that_a_trigger_undoes_is_tried_once(body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Stack() as stack:
        for variable, value in stack.environment().items():
            monkeypatch.setenv(variable, value)
        caller = new_caller(stack, {})
        assert answer_of(CREATE, caller)[0] == 200
        stack.supabase.execute(trigger(body))
        status, answer = answer_of("wpp_disconnect", caller)
        assert (status, answer["code"]) == (500, "not_configured")
        assert stack.platform_server.count("stop") == 1


@pytest.mark.usefixtures("_new_process")
@pytest.mark.parametrize(
    ("kind", "name"),
    # Where it ends with an error, both functions run the same code.
    [(kind, name) for kind in VARIANTS for name in CONNECTING if name == CREATE or VARIANTS[kind].status == 200],
)
def test_the_tables_of_products_differ(
    kind: str, name: str, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(logging.getLogger("wpp"), "handlers", [*logging.getLogger("wpp").handlers, caplog.handler])
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
            caller.scan()
        if variant.later:
            stack.supabase.execute(variant.later)
        before = len(stack.platform.clients)

        sent = requests_received(stack)
        status, answer = answer_of(name, caller, body)
        sent = requests_received(stack) - sent
        again, _ = answer_of(name, caller, body)

        expected = variant.status if body == variant.body else 200
        ledger.line(f"{kind:<40}{name:<15}{status} {answer.get('code') or answer.get('status')}")
        assert (status, again) == (expected, expected), answer
        told = [getattr(record, "wpp", {}).get("reason") or "" for record in caplog.records]
        assert status == 200 or variant.says in "".join(told)
        if status != 200:
            assert len(stack.platform.clients) - before == variant.leaves
        assert sent <= MOST_REQUESTS
        rows = stack.supabase.rows(caller.organization_id)
        assert [row for row in rows if row["provider"] == "other"] == others
