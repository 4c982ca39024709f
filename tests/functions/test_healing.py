"""Rows and keys as they are found in production: each is brought to one client, one active row, the right session."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest

from emulator.faults import Fault
from emulator.processes import function_process
from tests.support.callers import CONNECTING, Caller
from tests.support.prepared import PreparedProcess
from tests.support.servers import wait_for
from wpp.errors import KeyRefused
from wpp.provisioning.service import connect

if TYPE_CHECKING:
    from wpp.runtime import Runtime

HOOK = "https://product.example/functions/v1/wpp-webhook"


def client_elsewhere(caller: Caller) -> dict[str, Any]:
    """A client that earlier code created for the organization; its credentials as that code stored them."""
    client = caller.stack.platform.create(caller.organization_id, None)
    return {"wppApiKey": client.api_key, "wppAccountNumber": client.session, "theirs": {"kept": [1, None]}}


@pytest.mark.parametrize("function", CONNECTING)
def test_a_key_that_is_refused_for_good_is_replaced_once_with_its_webhook(caller: Caller, function: str) -> None:
    caller.create()
    caller.create()  # the first call's note of a webhook to register is gone after this
    caller.change_settings(wppApiKeyIssuedAt=1)
    before = caller.row()["settings"]
    stack = caller.stack
    stack.platform.settings.new_session_with_new_key = True
    stack.platform.invalidate_key(before["wppAccountNumber"])

    env = stack.environment() | {"WPP_DEADLINE_SECONDS": "15"}  # the key is tried again after two seconds
    with function_process(function, env, PreparedProcess) as process:
        process.wait_until_ready()
        answer = caller.call_at(process.url)

    after = caller.row()["settings"]
    client = stack.platform.clients_of(caller.organization_id)[-1]
    assert answer.status_code == 200
    assert answer.json()["session"] == client.session != before["wppAccountNumber"]
    assert (after["wppApiKey"], after["wppAccountNumber"]) == (client.api_key, client.session)
    assert stack.platform_server.count("create") == 2
    assert caller.session().webhook == HOOK


def test_a_platform_that_refuses_every_key_ends_in_an_error_and_not_in_a_loop(caller: Caller, waiting: Runtime) -> None:
    caller.create()
    caller.stack.platform.invalidate_key(caller.row()["settings"]["wppAccountNumber"])
    refused = Fault("token", status=403, body=b'{"error": "Invalid API key"}', times=None)
    caller.stack.platform_server.inject(refused)
    with pytest.raises(KeyRefused):
        connect(waiting.begin("wpp-create", "id"), caller.token)
    assert caller.stack.platform_server.count("create") == 2


@pytest.mark.parametrize("function", CONNECTING)
def test_a_row_of_the_earlier_functions_is_used_as_it_is(caller: Caller, function: str) -> None:
    stored = caller.stack.supabase.insert_row(
        organization_id=caller.organization_id, is_primary=True, settings=client_elsewhere(caller)
    )
    answer = caller.call(function)
    row = caller.row()
    assert answer.json()["session"] == stored["settings"]["wppAccountNumber"]
    assert row["id"] == stored["id"]
    assert row["settings"]["theirs"] == {"kept": [1, None]}
    assert row["settings"]["wppJwtToken"]
    assert caller.stack.platform_server.count("create") == 0


@pytest.mark.parametrize(
    "settings", [{}, {"wppApiKey": "key_only"}, {"wppApiKey": "", "wppAccountNumber": "x"}, {"theirs": 1}]
)
def test_a_row_without_credentials_is_completed_in_place(caller: Caller, settings: dict[str, Any]) -> None:
    stored = caller.stack.supabase.insert_row(
        organization_id=caller.organization_id, settings=settings, is_active=False
    )
    assert caller.create().status_code == 200
    row = caller.row()
    assert row["id"] == stored["id"]
    assert row["is_active"] is True
    assert {k: v for k, v in row["settings"].items() if not k.startswith("wpp")} == {
        k: v for k, v in settings.items() if not k.startswith("wpp")
    }


def test_an_inactive_row_becomes_active_again_with_its_credentials(caller: Caller) -> None:
    settings = client_elsewhere(caller)
    caller.stack.supabase.insert_row(
        organization_id=caller.organization_id, settings=settings, is_active=False, is_primary=True
    )
    assert caller.create().json()["session"] == settings["wppAccountNumber"]
    assert caller.row()["is_active"] is True
    assert caller.stack.platform_server.count("create") == 0


def test_of_several_rows_the_primary_and_active_one_is_meant(caller: Caller) -> None:
    insert = caller.stack.supabase.insert_row
    insert(organization_id=caller.organization_id, settings={}, is_active=False)
    settings = client_elsewhere(caller)
    chosen = insert(organization_id=caller.organization_id, settings=settings, is_primary=True)
    insert(organization_id=caller.organization_id, settings={}, is_active=True)
    for function in CONNECTING:
        assert caller.call(function).json()["session"] == settings["wppAccountNumber"]
    assert len(caller.rows()) == 3
    assert caller.provision().json()["integration_id"] == chosen["id"]


def test_of_several_equal_rows_it_is_always_the_oldest(caller: Caller) -> None:
    rows = [caller.stack.supabase.insert_row(organization_id=caller.organization_id) for _ in range(3)]
    answers = [caller.provision().json() for _ in range(3)]
    assert {answer["integration_id"] for answer in answers} == {rows[0]["id"]}
    assert caller.stack.platform_server.count("create") == 1


def test_settings_that_are_null_or_claims_that_make_no_sense_do_no_harm(caller: Caller) -> None:
    for claim in (
        {"id": 5},
        {"id": "x"},
        {"id": "x", "expiresAt": "soon"},
        {"id": "x", "expiresAt": 10**400},
        "text",
        None,
    ):
        caller.stack.supabase.execute(
            "delete from messenger_integrations where organization_id = %s", caller.organization_id
        )
        caller.stack.supabase.insert_row(organization_id=caller.organization_id, settings={"wppClaim": claim})
        assert caller.create().status_code == 200
        assert "wppClaim" not in caller.row()["settings"]


def test_a_dead_claim_is_taken_over_with_the_idempotency_key_that_older_code_stored(caller: Caller) -> None:
    key = str(uuid.uuid4())
    caller.stack.supabase.insert_row(
        organization_id=caller.organization_id,
        settings={"wppClaim": {"id": "dead", "beat": 7, "doing": "create"}, "wppIdempotencyKey": key},
        is_active=False,
    )
    # The first callers observe it for as long as their deadlines allow; the process remembers what it saw.
    statuses = [caller.create().status_code for _ in range(4)]
    assert statuses[0] == 503
    assert statuses[-1] == 200
    assert caller.stack.platform.creations[-1].idempotency_key == key
    assert "wppClaim" not in caller.row()["settings"]


@pytest.mark.parametrize("where", ["between two reads", "in a read"])
def test_a_claim_that_is_held_is_waited_for_and_then_503_with_retry_after(caller: Caller, where: str) -> None:
    if where == "in a read":
        caller.stack.supabase_server.inject(Fault("rest.GET.messenger_integrations", "hang"))
    claim = {"id": str(uuid.uuid4()), "beat": 1, "doing": "create"}
    caller.stack.supabase.insert_row(
        organization_id=caller.organization_id, settings={"wppClaim": claim}, is_active=False
    )
    answer = caller.create()
    assert (answer.status_code, answer.json()["code"]) == (503, "creation_in_progress")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert caller.stack.platform_server.count("create") == 0


def test_a_database_that_fails_while_a_claim_is_waited_for_is_answered_as_such(caller: Caller) -> None:
    claim = {"id": str(uuid.uuid4()), "beat": 1, "doing": "create"}
    caller.stack.supabase.insert_row(
        organization_id=caller.organization_id, settings={"wppClaim": claim}, is_active=False
    )
    caller.stack.supabase_server.inject(Fault("rest.GET.messenger_integrations", status=504, times=None))
    answer = caller.create()
    assert (answer.status_code, answer.json()["code"]) == (504, "supabase_timeout")


def test_a_webhook_that_fails_is_a_warning_and_is_registered_by_the_next_process(caller: Caller) -> None:
    caller.stack.platform_server.inject(Fault("webhook", status=400))
    first = caller.create()
    assert first.status_code == 200
    assert "webhook" in first.json()["warnings"][0]
    assert caller.session().webhook is None

    assert "warnings" not in caller.provision().json()  # another process, which registers it
    assert caller.session().webhook == HOOK
    wait_for(lambda: "wppWebhookPending" not in caller.row()["settings"])


def test_a_webhook_that_fails_at_a_restart_is_registered_by_the_next_process(caller: Caller) -> None:
    caller.create()
    caller.create()
    session = caller.session()
    caller.stack.platform.disconnect(session.name)
    session.webhook = None
    caller.stack.platform_server.inject(Fault("webhook", status=400))
    assert "webhook" in caller.create().json()["warnings"][0]
    caller.provision()
    assert caller.session().webhook == HOOK
    assert session.restarts == 0
