"""`force_recreate`, `add_new` and `Idempotency-Key` of wpp-create."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from emulator.faults import Fault
from emulator.processes import function_process
from tests.support.callers import CREATE, Caller


def sub_ids(caller: Caller) -> list[str]:
    return sorted(row["settings"]["wppSubOrgId"] for row in caller.rows() if not row["is_primary"])


@pytest.mark.parametrize("name", ["force_recreate", "add_new"])
@pytest.mark.parametrize("value", [None, 1, 0, "true", [], {}])
def test_an_option_that_is_not_a_boolean_is_refused(caller: Caller, name: str, value: Any) -> None:
    answer = caller.create({name: value})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
    assert name in answer.json()["error"]
    assert caller.rows() == []


def test_both_options_together_are_refused(caller: Caller) -> None:
    assert caller.create({"force_recreate": True, "add_new": True}).status_code == 400


def test_unknown_fields_and_false_options_change_nothing(caller: Caller) -> None:
    caller.create()
    answer = caller.create({"force_recreate": False, "add_new": False, "organization_id": str(uuid.uuid4())})
    assert answer.status_code == 200
    assert len(caller.rows()) == 1
    assert caller.stack.platform_server.count("create") == 1


def test_force_recreate_stops_the_session_and_replaces_the_credentials_in_place(caller: Caller) -> None:
    caller.create()
    caller.scan()
    before = caller.row()
    caller.change_settings(theirs=1)
    caller.stack.platform.settings.qr_delay = 60

    answer = caller.create({"force_recreate": True})

    after = caller.row()
    session = caller.session()
    assert answer.json()["status"] == "starting"
    assert session.stops == 1
    assert caller.stack.platform_server.count("create") == 2
    assert after["id"] == before["id"]
    assert after["settings"]["wppApiKeyIssuedAt"] > before["settings"]["wppApiKeyIssuedAt"]
    assert after["settings"]["theirs"] == 1
    keys = {creation.idempotency_key for creation in caller.stack.platform.creations[-2:]}
    assert len(keys) == 2


def test_force_recreate_goes_on_although_the_session_cannot_be_stopped(caller: Caller) -> None:
    caller.create()
    caller.stack.platform_server.inject(Fault("stop", status=404))
    answer = caller.create({"force_recreate": True})
    assert answer.status_code == 200
    assert "could not be stopped" in answer.json()["warnings"][0]


def test_force_recreate_of_nothing_is_a_creation(caller: Caller) -> None:
    assert caller.create({"force_recreate": True}).status_code == 200
    assert caller.stack.platform_server.count("create") == 1


def test_force_recreate_under_one_key_recreates_once(caller: Caller) -> None:
    caller.create()
    first = caller.create({"force_recreate": True}, Idempotency_Key="again")
    second = caller.create({"force_recreate": True}, Idempotency_Key="again")
    assert caller.stack.platform_server.count("create") == 2
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    assert second.json()["session"] == first.json()["session"]


def test_add_new_adds_a_number_of_its_own_each_time_the_others_are_paired(caller: Caller) -> None:
    sessions = [caller.create().json()["session"]]
    for _ in range(2):
        caller.stack.platform.scan(sessions[-1])
        sessions.append(caller.create({"add_new": True}).json()["session"])

    assert len(set(sessions)) == 3
    assert len(set(sub_ids(caller))) == 2
    for sub_id in sub_ids(caller):
        organization_id, _, digits = sub_id.partition("__wpp__")
        assert organization_id == caller.organization_id
        assert len(bytes.fromhex(digits)) == 4
        assert len(caller.stack.platform.clients_of(sub_id)) == 1
    assert caller.create().json()["session"] == sessions[0]


def test_four_additions_that_nobody_scanned_are_one_further_number(caller: Caller) -> None:
    caller.create()
    caller.scan()
    sessions = {caller.create({"add_new": True}).json()["session"] for _ in range(4)}
    assert len(sessions) == 1
    assert len(caller.rows()) == 2
    assert len({c.session for c in caller.stack.platform.clients if caller.organization_id in c.organization_id}) == 2


def test_four_additions_under_four_keys_are_four_numbers(caller: Caller) -> None:
    sessions = {caller.create({"add_new": True}, Idempotency_Key=str(n)).json()["session"] for n in range(4)}
    assert len(sessions) == 4


def test_an_addition_returns_the_primary_number_while_nobody_scanned_it(caller: Caller) -> None:
    primary = caller.create().json()["session"]
    assert caller.create({"add_new": True}).json()["session"] == primary


def test_an_addition_notes_that_a_candidate_is_connected_and_passes_it_over(caller: Caller) -> None:
    caller.create()
    caller.scan()
    primary = caller.row()
    assert primary["settings"]["wppPaired"] is False
    answer = caller.create({"add_new": True})
    assert answer.json()["integration_id"] != primary["id"]
    assert {row["id"]: row["settings"]["wppPaired"] for row in caller.rows()}[primary["id"]] is True


def test_a_plain_call_means_the_primary_number_also_when_a_further_one_came_first(caller: Caller) -> None:
    further = caller.create({"add_new": True}).json()["session"]
    primary = caller.create().json()["session"]
    assert primary != further
    assert caller.provision().json()["session"] == primary
    assert sorted(row["is_primary"] for row in caller.rows()) == [False, True]


@pytest.mark.parametrize("repeated", ["key-1", '"key-1"'])
def test_add_new_under_one_key_adds_one_number_also_in_another_process(caller: Caller, repeated: str) -> None:
    first = caller.create({"add_new": True}, Idempotency_Key="key-1")
    with function_process(CREATE, caller.stack.environment()) as other:
        other.wait_until_ready()
        second = caller.call_at(other.url, {"add_new": True}, Idempotency_Key=repeated)
    assert second.json()["session"] == first.json()["session"]
    assert second.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" in second.headers["Access-Control-Expose-Headers"]
    assert len(caller.rows()) == 1


def test_add_new_under_one_key_at_once_adds_one_number(caller: Caller) -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: caller.create({"add_new": True}, Idempotency_Key="key-2"), range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["session"] for answer in answers}) == 1
    assert len(caller.rows()) == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"add_new": True}),
        ({"add_new": True}, {}),
        ({"add_new": True}, {"force_recreate": True}),
        ({"force_recreate": True}, {}),
    ],
)
def test_a_key_with_other_options_is_422(caller: Caller, first: dict[str, bool], second: dict[str, bool]) -> None:
    assert caller.create(first, Idempotency_Key="one").status_code == 200
    answer = caller.create(second, Idempotency_Key="one")
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize("key", ["", '"', '""', "x" * 256, '"open', "tab\there", "umlaut-\xe4"])
def test_a_key_that_is_empty_too_long_or_unprintable_is_refused(caller: Caller, key: str) -> None:
    answer = caller.create({}, Idempotency_Key=key)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")


@pytest.mark.parametrize("key", ["x", "x" * 255, '"a \\"quoted\\" one"', "with space"])
def test_a_key_of_any_printable_kind_is_taken_and_never_stored_itself(caller: Caller, key: str) -> None:
    assert caller.create({}, Idempotency_Key=key).status_code == 200
    (fingerprint,) = caller.row()["settings"]["wppRequests"]
    assert key not in str(caller.row()["settings"]["wppRequests"].values())
    assert len(bytes.fromhex(fingerprint)) == 16
