"""The commands about all numbers of an organization: listing them, and taking them out of use."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from emulator.faults import Fault
from tests.support.cli import DONE, FAILED, LEFT, NOT_THERE, TRY_AGAIN, USAGE, run
from wpp.operating.retirement import retire

if TYPE_CHECKING:
    import subprocess

    from tests.support.fleet import Fleet

pytestmark = pytest.mark.slow


def numbers(ran: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    """By row, from JSON."""
    return {number.pop("integration"): number for number in json.loads(ran.stdout)["numbers"]}


def of_organization(fleet: Fleet) -> tuple[str, str, str]:
    """An organization with a number that is connected, and a further one that waits for its scan."""
    first = fleet.connect()
    organization_id = fleet.row(first)["organization_id"]
    second = fleet.connect(organization_id, further=True)
    fleet.pair(first)
    return organization_id, first, second


def test_the_numbers_of_an_organization_are_listed(fleet: Fleet) -> None:
    organization_id, first, second = of_organization(fleet)
    unfinished = fleet.insert(organization_id, is_primary=False, settings={"wppSubOrgId": "x__wpp__1"})
    refused = fleet.connect(organization_id, further=True)
    fleet.stack.platform.invalidate_key(fleet.session(refused).name)
    fleet.change(refused, active=False, wppDisconnected=True)
    before = fleet.stack.supabase.rows()

    listed = run(fleet.stack, "list", organization_id, "--json")
    flags = ("session", "primary", "active", "disconnected", "paired", "status")
    assert {row_id: tuple(number[name] for name in flags) for row_id, number in numbers(listed).items()} == {
        first: (fleet.session(first).name, True, True, False, True, "connected"),
        second: (fleet.session(second).name, False, True, False, False, "qr_required"),
        unfinished: (None, False, False, False, False, "unfinished"),
        refused: (fleet.session(refused).name, False, False, True, False, "key_refused"),
    }
    assert fleet.stack.supabase.rows() == before
    in_lines = run(fleet.stack, "list", organization_id)
    session = fleet.session(first).name
    assert f"integration: {first}, session: {session}, primary: yes, active: yes" in in_lines.stdout
    assert (in_lines.returncode, in_lines.stdout.count("\n")) == (DONE, 5)
    assert not any(client.api_key in in_lines.stdout + listed.stdout for client in fleet.stack.platform.clients)


def test_an_organization_without_numbers_is_not_there(fleet: Fleet) -> None:
    for command in (["list"], ["retire", "--all"]):
        ran = run(fleet.stack, *command, str(uuid.uuid4()))
        assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (NOT_THERE, "", 1)


def test_one_number_is_retired_and_the_others_go_on(fleet: Fleet) -> None:
    organization_id, first, second = of_organization(fleet)
    unnamed = run(fleet.stack, "retire", organization_id)
    other = run(fleet.stack, "retire", organization_id, "--integration", str(uuid.uuid4()))
    assert (unnamed.returncode, "--all" in unnamed.stderr, other.returncode) == (USAGE, True, NOT_THERE)
    assert [session.stops for session in fleet.stack.platform.sessions.values()] == [0, 0]

    ran = run(fleet.stack, "retire", organization_id, "--integration", second)
    assert (ran.returncode, ran.stderr) == (DONE, "")
    assert f"integration: {second}, session: {fleet.session(second).name}, result: retired\n" in ran.stdout
    assert [(fleet.row(row_id)["is_active"], fleet.session(row_id).stops) for row_id in (first, second)] == [
        (True, 0),
        (False, 1),
    ]
    assert fleet.settings(second)["wppDisconnected"] is True
    assert fleet.reconcile(fix=True)[second].found == ()


def test_of_an_organization_that_leaves_all_that_can_be_is_stopped_and_the_rest_is_named(fleet: Fleet) -> None:
    organization_id, first, second = of_organization(fleet)
    refused = fleet.connect(organization_id, further=True)
    fleet.stack.platform.invalidate_key(fleet.session(refused).name)
    platform_id = f"{organization_id}__wpp__01234567"
    unfinished = fleet.insert(organization_id, is_primary=False, settings={"wppSubOrgId": platform_id})

    ran = run(fleet.stack, "retire", organization_id, "--all", "--json")
    results = numbers(ran)
    assert ran.returncode == LEFT
    assert {row_id: number["result"] for row_id, number in results.items()} == {
        first: "retired",
        second: "retired",
        refused: "not stopped",
        unfinished: "not stopped",
    }
    assert "refuses the organization's API key" in results[refused]["problem"]
    assert platform_id in results[unfinished]["problem"]
    assert [(row["is_active"], row["settings"]["wppDisconnected"]) for row in fleet.stack.supabase.rows()] == [
        (False, True)
    ] * 4
    assert [fleet.stack.platform.state(fleet.session(row_id)) for row_id in (first, second)] == ["offline"] * 2
    again = run(fleet.stack, "retire", organization_id, "--all", "--json")
    assert again.returncode == LEFT
    assert {row_id: number["result"] for row_id, number in numbers(again).items()} == {
        first: "retired before",
        second: "retired before",
        refused: "not stopped",
        unfinished: "not stopped",
    }


def test_a_stop_that_was_refused_is_tried_again(fleet: Fleet) -> None:
    row_id = fleet.connect()
    organization_id = fleet.row(row_id)["organization_id"]
    fleet.stack.platform_server.inject(Fault("stop", status=403, times=None))
    results = []
    for _ in range(2):
        ran = run(fleet.stack, "retire", organization_id, "--json")
        results.append((ran.returncode, numbers(ran)[row_id]["result"], fleet.row(row_id)["is_active"]))
    fleet.stack.platform_server.clear_faults()
    for _ in range(2):
        ran = run(fleet.stack, "retire", organization_id, "--json")
        results.append((ran.returncode, numbers(ran)[row_id]["result"], fleet.row(row_id)["is_active"]))
    assert results == [
        (LEFT, "not stopped", False),
        (LEFT, "not stopped", False),
        (DONE, "retired", False),
        (DONE, "retired before", False),
    ]
    assert fleet.session(row_id).stops == 1


def test_a_row_with_the_session_of_another_is_retired_and_the_session_goes_on(fleet: Fleet) -> None:
    row_id = fleet.connect()
    fleet.pair(row_id)
    organization_id = fleet.row(row_id)["organization_id"]
    copy = fleet.insert(organization_id, is_primary=False, is_active=True, settings=fleet.settings(row_id))
    ran = run(fleet.stack, "retire", organization_id, "--integration", copy, "--json")
    assert (ran.returncode, numbers(ran)[copy]["result"]) == (DONE, "retired")
    assert numbers(ran)[copy]["problem"] == f"its session goes on: row {row_id} has it too"
    assert [fleet.row(one)["is_active"] for one in (row_id, copy)] == [True, False]
    again = run(fleet.stack, "retire", organization_id, "--integration", copy, "--json")
    assert numbers(again)[copy]["result"] == "retired before"
    assert fleet.session(row_id).stops == 0
    both = run(fleet.stack, "retire", organization_id, "--all", "--json")
    assert {one: number["result"] for one, number in numbers(both).items()} == {
        row_id: "retired",
        copy: "retired before",
    }
    assert fleet.session(row_id).stops == 1


def test_a_refusal_that_passes_is_not_believed(fleet: Fleet) -> None:
    row_id = fleet.connect()
    fleet.change(row_id, wppJwtToken=None)
    fleet.stack.platform_server.inject(Fault("token", status=403, body=b'{"error": "Invalid API key"}'))
    with fleet.process() as process:
        invocation = process.begin("cli", "request")
        row = invocation.rows.by_id(row_id)
        assert row
        assert retire(invocation, row).result == "retired"
    assert (fleet.row(row_id)["is_active"], fleet.session(row_id).stops) == (False, 1)


def test_a_number_that_cannot_be_retired_stays_active_and_does_not_stop_the_others(fleet: Fleet) -> None:
    organization_id, first, second = of_organization(fleet)
    unreadable = fleet.insert(organization_id, is_primary=False, settings=["theirs"], is_active=True)
    down = Fault("stop", status=503, times=4)
    fleet.stack.platform_server.inject(down)
    ran = run(fleet.stack, "retire", organization_id, "--all", "--json")
    results = numbers(ran)
    assert (ran.returncode, results[first]["result"], results[second]["result"]) == (FAILED, "not retired", "retired")
    assert "is not a JSON object" in results[unreadable]["problem"]
    assert [fleet.row(row_id)["is_active"] for row_id in (first, second, unreadable)] == [True, False, True]

    down.times = 4
    fleet.stack.platform_server.inject(down)
    once_more = run(fleet.stack, "retire", organization_id, "--integration", first)
    assert (once_more.returncode, "not retired" in once_more.stdout) == (TRY_AGAIN, True)
