"""`wpp-status` and `wpp-qr`: what pages poll with. They tell what is there, and create, start and change nothing."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
import requests

from emulator.faults import Fault
from tests.support.servers import wait_for
from wpp.provisioning.look import look
from wpp.provisioning.options import Target

if TYPE_CHECKING:
    from tests.support.callers import Caller
    from wpp.runtime import Runtime

STATUS, QR = "wpp_status", "wpp_qr"
LOOKS = [STATUS, QR]


def status(caller: Caller, **body: Any) -> dict[str, Any]:
    answer = caller.call(STATUS, body)
    assert answer.status_code == 200, answer.text
    return {name: value for name, value in answer.json().items() if name != "success"}


def test_a_number_from_its_creation_to_its_end(caller: Caller) -> None:
    caller.stack.platform.settings.qr_delay = 1000
    created = caller.create().json()
    names = {"account_number": created["session"], "integration_id": created["integration_id"]}
    assert status(caller) == {"status": "qr_pending", "message": "The session is starting", **names}
    caller.stack.platform.settings.qr_delay = 0
    found = status(caller)
    assert found == {"status": "qr_issued", "qrcode": caller.call(QR).json()["qr"], **names}
    caller.scan()
    assert status(caller) == {"status": "connected", **names}
    assert caller.call(QR).json() == {"success": True, "qr": None}
    caller.stack.platform.disconnect(caller.session().name)
    assert status(caller)["status"] == "disconnected"
    caller.call("wpp_disconnect")
    found = status(caller)
    assert (found["status"], found["message"]) == ("disconnected", "The number is disconnected; connect it again")
    assert caller.call(QR).json() == {"success": True, "qr": None}


@pytest.mark.parametrize(
    "body", [{}, {"integration_id": str(uuid.uuid4())}, {"session_name": "nobody's"}, {"session": ".."}]
)
def test_a_number_that_is_not_there_is_disconnected_and_has_no_qr(caller: Caller, body: dict[str, str]) -> None:
    assert status(caller, **body) == {"status": "disconnected", "message": "The organization has no such number"}
    answer = caller.call(QR, body)
    assert (answer.status_code, answer.json()["code"]) == (404, "number_not_found")
    assert caller.rows() == []
    assert list(caller.stack.platform_server.received) == []


def test_each_number_is_looked_at_by_its_id_or_session(caller: Caller) -> None:
    caller.stack.platform.settings.qr_delay = 0
    primary = caller.create().json()
    caller.scan()
    further = caller.create({"add_new": True}).json()
    for name, key in (("integration_id", "integration_id"), ("session_name", "session"), ("session", "session")):
        assert status(caller, **{name: further[key]})["status"] == "qr_issued"
        assert status(caller, **{name: primary[key]})["status"] == "connected"
        assert (caller.call(QR, {name: further[key]}).json()["qr"] is None) is False
    assert status(caller, force=True)["status"] == "connected"


@pytest.mark.parametrize("name", ["integration_id", "session_name", "session"])
@pytest.mark.parametrize("value", [1, True, [], {}])
def test_a_name_that_is_not_text_is_refused(caller: Caller, name: str, value: Any) -> None:
    for function in [*LOOKS, "wpp_disconnect"]:
        answer = caller.call(function, {name: value})
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")


def test_a_qr_is_read_with_get_too_and_get_without_a_query_is_the_version(caller: Caller) -> None:
    caller.stack.platform.settings.qr_delay = 0
    session = caller.create().json()["session"]
    url = caller.processes[QR].url
    headers = {"Authorization": f"Bearer {caller.token}"}
    asked = requests.get(url, params={"session": session}, headers=headers, timeout=10)
    assert asked.json()["qr"] == caller.call(QR).json()["qr"]
    assert asked.headers["Cache-Control"] == "no-store"
    assert requests.get(url, params={"session": session}, timeout=10).status_code == 401
    assert requests.get(url, params={"session": "another"}, headers=headers, timeout=10).status_code == 404
    assert requests.get(url, headers=headers, timeout=10).json()["function"] == "wpp-qr"
    assert requests.head(url, params={"session": session}, timeout=10).status_code == 200
    assert (
        requests.get(caller.processes[STATUS].url, params={"session": "x"}, timeout=10).json()["function"]
        == "wpp-status"
    )


@pytest.mark.parametrize("inactive", [{"is_active": False}, {"is_active": False, "mark": True}])
def test_an_inactive_number_is_never_answered_as_connected(caller: Caller, inactive: dict[str, bool]) -> None:
    caller.create()
    caller.scan()
    if inactive.get("mark"):
        caller.change_settings(wppDisconnected=True)
    caller.stack.supabase.execute(
        "update messenger_integrations set is_active = false where id = %s", caller.row()["id"]
    )
    caller.stack.platform_server.clear()
    assert status(caller)["status"] == "disconnected"
    assert caller.call(QR).json()["qr"] is None
    assert list(caller.stack.platform_server.received) == []


def test_a_number_that_is_being_created_is_pending(caller: Caller) -> None:
    claim = {"id": "another's", "beat": 1, "doing": "create"}
    caller.stack.supabase.insert_row(
        organization_id=caller.organization_id, is_active=False, settings={"wppClaim": claim}
    )
    assert status(caller)["status"] == "qr_pending"


def test_what_a_look_saves_is_a_token_and_that_a_number_was_paired(caller: Caller) -> None:
    caller.create()
    caller.scan()
    claim = {"id": "died", "beat": 1, "doing": "start"}
    caller.change_settings(
        wppClaim=claim, wppWebhookPending=True, wppRestarts=2, wppLost={"at": 1, "times": 1}, wppWebhookHash="old"
    )
    before = caller.row()["settings"]
    caller.stack.platform.revoke_tokens(caller.session().name)
    assert status(caller)["status"] == "connected"
    after = caller.row()["settings"]
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {"wppJwtToken", "wppJwtExpiresAt", "wppPaired"}
    assert before.keys() <= after.keys()
    assert caller.stack.platform_server.count("webhook") == 1


@pytest.mark.parametrize("function", LOOKS)
def test_a_look_takes_two_round_trips(caller: Caller, function: str) -> None:
    caller.stack.platform.settings.qr_delay = 0
    caller.create()
    caller.call(function)
    wait_for(lambda: "wppQrShown" in caller.row()["settings"])
    caller.stack.supabase_server.latency = caller.stack.platform_server.latency = 0.5  # so that they overlap
    answer = caller.call(function)
    assert " 2 round trips" in answer.headers["Server-Timing"]


def test_a_refused_key_is_an_error_and_is_not_replaced(caller: Caller) -> None:
    caller.create()
    caller.stack.platform.invalidate_key(caller.session().name)
    before = json.dumps(caller.row())
    for function in LOOKS:
        answer = caller.call(function)
        assert (answer.status_code, answer.json()["code"]) == (502, "platform_refused")
    assert json.dumps(caller.row()) == before
    assert caller.stack.platform_server.count("create") == 1


def test_a_lost_session_is_disconnected_and_a_proxys_404_an_error(caller: Caller, waiting: Runtime) -> None:
    caller.create()
    caller.change_settings(wppStartedAt=1)
    caller.stack.platform_server.inject(Fault("status", status=404, body=b"<html>", times=1))
    assert caller.call(STATUS).status_code == 502
    caller.stack.platform.lose(caller.session().name)
    assert look(waiting.begin("wpp-status", "id"), caller.token, Target()).status == "disconnected"
    assert caller.stack.platform_server.count("create") == 1
