"""Which number of an organization a call means: the one it names, the primary one, or with `add_new` one that is free."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from emulator.faults import Fault
from emulator.processes import free_port, server_process
from tests.support.callers import CONNECTING, new_caller
from tests.support.servers import wait_for
from wpp.provisioning.options import Options
from wpp.provisioning.service import connect

if TYPE_CHECKING:
    from tests.support.callers import Caller
    from tests.support.intervening import Intervening
    from wpp.runtime import Runtime

ADD = {"add_new": True}


def sessions_of(caller: Caller) -> set[str]:
    """The platform's sessions of all numbers of the organization."""
    return {c.session for c in caller.stack.platform.clients if c.organization_id.startswith(caller.organization_id)}


@pytest.mark.parametrize("function", CONNECTING)
def test_each_number_is_meant_by_its_id(caller: Caller, function: str) -> None:
    primary = caller.pair()
    further = caller.create(ADD).json()
    for number in (primary, further):
        answer = caller.call(function, {"integration_id": number["integration_id"]}).json()
        assert (answer["integration_id"], answer["session"]) == (number["integration_id"], number["session"])
    for unnamed in ({}, {"integration_id": None}, {"integration_id": ""}):
        assert caller.call(function, unnamed).json()["session"] == primary["session"]
    assert sessions_of(caller) == {primary["session"], further["session"]}


@pytest.mark.parametrize("function", CONNECTING)
def test_a_number_that_is_not_the_organizations_is_404_and_makes_nothing(caller: Caller, function: str) -> None:
    primary = caller.pair()
    other = new_caller(caller.stack, caller.processes)
    theirs = other.create().json()["integration_id"]
    caller.stack.platform_server.clear()
    for unknown in (theirs, str(uuid.uuid4()), "not-a-uuid", primary["session"], "x" * 10_000, "' or true"):
        answer = caller.call(function, {"integration_id": unknown})
        assert (answer.status_code, answer.json()["code"]) == (404, "number_not_found")
    assert list(caller.stack.platform_server.received) == []
    assert len(caller.rows()) == 1


@pytest.mark.parametrize("function", CONNECTING)
@pytest.mark.parametrize("value", [1, 0, True, False, [], {}, ["id"]])
def test_an_id_that_is_not_text_is_refused(caller: Caller, function: str, value: Any) -> None:
    answer = caller.call(function, {"integration_id": value})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
    assert caller.rows() == []


def test_an_addition_of_a_number_that_is_named_is_refused(caller: Caller) -> None:
    number = caller.pair()["integration_id"]
    assert caller.create({**ADD, "integration_id": number}).status_code == 400
    assert len(caller.rows()) == 1


@pytest.mark.parametrize("option", ["add_new", "force_recreate"])
def test_provision_refuses_what_it_does_not_take(caller: Caller, option: str) -> None:
    answer = caller.provision({option: True})
    assert (answer.status_code, answer.json()["code"], answer.json()["status"]) == (400, "bad_request", "error")
    assert caller.rows() == []
    assert caller.provision({option: False}).status_code == 200


@pytest.mark.parametrize("function", CONNECTING)
def test_a_further_number_that_was_disconnected_is_connected_again_as_the_same_client(
    caller: Caller, function: str
) -> None:
    caller.pair()
    further = caller.create(ADD).json()
    number = {"integration_id": further["integration_id"]}
    caller.stack.platform.scan(further["session"])
    assert caller.create(number).json()["status"] == "connected"
    assert caller.call("wpp_disconnect", number).status_code == 200
    asked = len(caller.stack.platform.creations)

    answer = caller.call(function, number).json()

    assert (answer["integration_id"], answer["session"]) == (further["integration_id"], further["session"])
    assert len(caller.stack.platform.creations) == asked
    (row,) = (row for row in caller.rows() if row["id"] == further["integration_id"])
    assert row["is_active"]
    assert "wppDisconnected" not in row["settings"]
    assert caller.provision(number).json()["status"] == "qr_issued"


def test_a_recreation_of_a_named_number_leaves_the_others_alone(caller: Caller) -> None:
    primary = caller.pair()
    further = caller.create(ADD).json()
    answer = caller.create({"force_recreate": True, "integration_id": further["integration_id"]}).json()
    assert answer["integration_id"] == further["integration_id"]
    assert caller.session_of(further["session"]).stops == 1
    assert caller.session_of(primary["session"]).stops == 0
    assert len(caller.rows()) == 2


def test_a_key_that_was_used_for_another_number_is_422(caller: Caller) -> None:
    primary = caller.pair()
    further = caller.create(ADD).json()
    named = [{"force_recreate": True, "integration_id": number["integration_id"]} for number in (primary, further)]
    assert caller.create(named[1], Idempotency_Key="one").status_code == 200
    for other in (named[0], {"force_recreate": True}):
        answer = caller.create(other, Idempotency_Key="one")
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert caller.session_of(primary["session"]).stops == 0
    again = caller.create(named[1], Idempotency_Key="one")
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (200, "true")
    assert caller.session_of(further["session"]).stops == 1


def test_an_unfinished_number_that_is_named_is_finished_under_its_own_id(caller: Caller) -> None:
    caller.pair()
    sub_id = f"{caller.organization_id}__wpp__01234567"
    row = caller.stack.supabase.insert_row(
        organization_id=caller.organization_id, is_active=False, settings={"wppSubOrgId": sub_id}
    )
    answer = caller.create({"integration_id": row["id"]}).json()
    (client,) = caller.stack.platform.clients_of(sub_id)
    assert (answer["integration_id"], answer["session"]) == (row["id"], client.session)


@pytest.mark.parametrize("word", ["conflict", "TOS_BLOCK", "qrReadSuccess", "connected"])
def test_an_addition_passes_over_a_free_number_that_turns_out_to_be_in_use(caller: Caller, word: str) -> None:
    primary = caller.create().json()
    caller.stack.platform.report(primary["session"], word)
    starts = caller.session_of(primary["session"]).starts
    answer = caller.create(ADD).json()
    assert answer["session"] != primary["session"]
    assert caller.create(ADD).json()["session"] == answer["session"]
    assert caller.session_of(primary["session"]).starts == starts
    assert len(sessions_of(caller)) == 2


def test_an_addition_passes_over_a_row_that_cannot_be_read(caller: Caller) -> None:
    row = caller.stack.supabase.insert_row(organization_id=caller.organization_id, is_primary=True, settings="text")
    answer = caller.create(ADD)
    assert answer.status_code == 200
    assert answer.json()["integration_id"] != row["id"]


def test_additions_at_once_are_one_number(caller: Caller) -> None:
    primary = caller.pair()
    caller.stack.platform_server.latency = caller.stack.supabase_server.latency = 0.02
    with ExitStack() as running:
        servers = [running.enter_context(server_process(caller.stack.environment(), free_port())) for _ in range(2)]
        for server in servers:
            server.wait_until_ready()
        threads = running.enter_context(ThreadPoolExecutor(8))
        answers = list(threads.map(lambda n: caller.call_at(f"{servers[n % 2].url}/wpp-create", ADD), range(8)))
    assert [answer.status_code for answer in answers] == [200] * 8
    assert len({answer.json()["session"] for answer in answers} - {primary["session"]}) == 1
    assert len(sessions_of(caller)) == 2
    assert len(caller.rows()) == 2


def test_two_additions_that_found_the_same_rows_are_one_number(
    caller: Caller, runtime: Runtime, patient: Runtime, meanwhile: Intervening
) -> None:
    caller.pair()
    added: list[str] = []

    def add(adding: Runtime) -> None:
        options = Options(add_new=True)
        added.append(connect(adding.begin("wpp-create", "id"), caller.token, options=options).session)

    meanwhile.after("GET", "profiles", lambda: add(runtime))
    add(patient)
    assert len(added) == 2
    assert len(set(added)) == 1
    assert len(caller.rows()) == 2


def test_an_addition_while_another_is_under_way_is_the_same_number(caller: Caller) -> None:
    caller.pair()
    server = caller.stack.platform_server
    server.clear()
    server.inject(Fault("create", status=0, delay=0.8))
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(caller.create, ADD)
        wait_for(lambda: len(caller.rows()) == 2)
        second = caller.create(ADD).json()["session"]
        assert first.result().json()["session"] == second
    assert server.count("create") == 1
