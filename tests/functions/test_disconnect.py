"""Disconnecting a number: its session is stopped first, its row is kept with all that reaches it again."""

from __future__ import annotations

import time as real_time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from emulator.faults import Fault
from tests.support.servers import wait_for
from wpp.errors import CreationInProgress
from wpp.provisioning.disconnect import disconnect
from wpp.provisioning.options import Target
from wpp.provisioning.service import connect

if TYPE_CHECKING:
    from tests.support.advancing import Virtual
    from tests.support.callers import Caller
    from wpp.runtime import Runtime

DISCONNECT = "wpp_disconnect"
PATCH = "rest.PATCH.messenger_integrations"


def without_times(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "updated_at"}


def test_a_number_is_stopped_and_its_row_kept_inactive(caller: Caller) -> None:
    caller.pair()
    before = caller.row()
    answer = caller.call(DISCONNECT)
    after = caller.row()
    assert answer.json() == {"success": True, "ok": True, "status": "disconnected", "integration_id": before["id"]}
    assert (caller.session().stops, caller.session().connected) == (1, False)
    of_the_start = {"wppStartedAt", "wppQrShown"}
    kept = {name: value for name, value in before["settings"].items() if name not in of_the_start}
    assert after["settings"] == kept | {"wppDisconnected": True}
    assert without_times(after) == without_times(before) | {"is_active": False, "settings": after["settings"]}


def test_it_takes_five_upstream_calls_in_four_round_trips(caller: Caller) -> None:
    caller.pair()
    caller.change_settings(wppStartedAt=1)
    caller.stack.supabase_server.latency = caller.stack.platform_server.latency = 0.3  # so that they overlap
    caller.stack.supabase_server.clear()
    caller.stack.platform_server.clear()
    answer = caller.call(DISCONNECT)
    received = [r.call for s in (caller.stack.supabase_server, caller.stack.platform_server) for r in s.received]
    assert sorted(received) == sorted(["auth.user", "rest.GET.profiles", PATCH, "stop", PATCH])
    assert "4 round trips" in answer.headers["Server-Timing"]


def test_connecting_again_gives_the_same_client_and_clears_the_mark(caller: Caller) -> None:
    caller.pair()
    before = caller.row()["settings"]
    caller.call(DISCONNECT)
    answer = caller.create()
    after = caller.row()
    assert answer.json()["session"] == before["wppAccountNumber"]
    assert after["settings"]["wppApiKey"] == before["wppApiKey"]
    assert after["is_active"] is True
    assert "wppDisconnected" not in after["settings"]
    assert caller.stack.platform_server.count("create") == 1
    assert caller.provision().json()["status"] == "qr_issued"


def test_a_further_number_is_connected_again_by_its_id(caller: Caller) -> None:
    caller.pair()
    further = caller.create({"add_new": True}).json()
    caller.stack.platform.scan(further["session"])
    number = {"integration_id": further["integration_id"]}
    assert caller.create(number).json()["status"] == "connected"
    assert caller.call(DISCONNECT, number).status_code == 200
    again = caller.create(number).json()
    assert (again["session"], again["apiKey"]) == (further["session"], further["apiKey"])
    assert len(caller.rows()) == 2


def test_the_only_number_disconnected_is_what_an_addition_returns(caller: Caller) -> None:
    caller.pair()
    session = caller.session().name
    caller.call(DISCONNECT)
    assert caller.create({"add_new": True}).json()["session"] == session
    assert len(caller.rows()) == 1


def test_one_of_several_numbers_has_to_be_named(caller: Caller) -> None:
    caller.pair()
    further = caller.create({"add_new": True}).json()
    answer = caller.call(DISCONNECT)
    assert (answer.status_code, answer.json()["code"]) == (409, "several_numbers")
    for named in ({"session_name": further["session"]}, {"session": further["session"]}):
        assert caller.call(DISCONNECT, named).json()["integration_id"] == further["integration_id"]
    assert caller.session_of(further["session"]).stops == 2
    assert caller.session_of(caller.provision().json()["session"]).stops == 0


@pytest.mark.parametrize("body", [{"integration_id": "nothing"}, {"session": "client_of_nobody"}])
def test_an_unknown_number_is_404(caller: Caller, body: dict[str, str]) -> None:
    caller.pair()
    answer = caller.call(DISCONNECT, body)
    assert (answer.status_code, answer.json()["code"]) == (404, "number_not_found")
    assert caller.session().stops == 0


def test_without_any_number_it_is_404(caller: Caller) -> None:
    assert caller.call(DISCONNECT).status_code == 404
    assert caller.rows() == []


def test_a_session_that_the_platform_does_not_know_counts_as_stopped(caller: Caller) -> None:
    caller.pair()
    caller.change_settings(wppStartedAt=1)
    caller.stack.platform.lose(caller.session().name)
    assert caller.call(DISCONNECT).status_code == 200
    assert caller.row()["is_active"] is False


@pytest.mark.parametrize("fault", [Fault("stop", status=404, body=b"<html>"), Fault("stop", status=500, times=None)])
def test_a_session_that_could_not_be_stopped_leaves_the_row_as_it_was(caller: Caller, fault: Fault) -> None:
    caller.pair()
    before = without_times(caller.row())
    caller.stack.platform_server.inject(fault)
    assert caller.call(DISCONNECT).status_code == 502
    caller.stack.platform_server.clear_faults()
    assert without_times(caller.row()) == before
    assert caller.create().json()["status"] == "connected"


def test_it_waits_for_somebody_who_works_on_the_number_until_the_deadline(
    caller: Caller, waiting: Runtime, virtual: Virtual
) -> None:
    caller.pair()
    claim = {"id": "another's", "beat": 1, "doing": "create", "expiresAt": int((real_time.time() + 60) * 1000)}
    caller.change_settings(wppClaim=claim)
    began = virtual.seconds
    with pytest.raises(CreationInProgress):
        disconnect(waiting.begin("wpp-disconnect", "id", 5), caller.token, Target())
    assert virtual.seconds - began > 4
    assert (caller.session().stops, caller.row()["is_active"]) == (0, True)
    virtual.seconds += 6
    disconnect(waiting.begin("wpp-disconnect", "id"), caller.token, Target())
    assert (caller.session().stops, caller.row()["is_active"]) == (1, False)


def test_a_start_that_was_just_sent_takes_effect_before_the_stop(caller: Caller, patient: Runtime) -> None:
    caller.pair()
    session = caller.session()
    caller.stack.platform.disconnect(session.name)
    caller.change_settings(wppStartedAt=int(real_time.time() * 1000))
    with ThreadPoolExecutor(1) as threads:
        disconnecting = threads.submit(disconnect, patient.begin("wpp-disconnect", "id"), caller.token, Target())
        caller.stack.platform_server.clear()
        wait_for(lambda: caller.stack.platform_server.count("status"))
        assert session.stops == 0
        caller.stack.platform.start(session)  # the start arrives
        disconnecting.result()
    assert (session.stops, session.started_at) == (1, None)


def test_many_at_once_end_disconnected_and_many_with_connects_in_one_or_the_other(
    caller: Caller, runtime: Runtime
) -> None:
    caller.pair()

    def act(number: int) -> None:
        invocation = runtime.begin("wpp-create", "id")
        if number % 2:
            connect(invocation, caller.token)
        else:
            disconnect(invocation, caller.token, Target())

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: act(0), range(4)))
        assert caller.row()["is_active"] is False
        assert caller.session().started_at is None
        list(threads.map(act, range(6)))
    row = caller.row()
    assert "wppClaim" not in row["settings"]
    assert row["is_active"] is not row["settings"].get("wppDisconnected", False)
    assert len({c.api_key for c in caller.stack.platform.clients_of(caller.organization_id)}) == 1
