"""`reconcile` as an operator, a script and a timer run it: lines, JSON, exit codes, and where to go on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from emulator.faults import Fault
from tests.support.cli import DONE, INTERRUPTED, LEFT, TRY_AGAIN, USAGE, environment, run
from tests.support.servers import wait_for

if TYPE_CHECKING:
    from tests.support.fleet import Fleet

pytestmark = pytest.mark.slow
GET = "rest.GET.messenger_integrations"


def connected_with_pending_webhook(fleet: Fleet) -> str:
    row_id = fleet.connect()
    fleet.session(row_id).webhook = None
    fleet.change(row_id, wppWebhookPending=True)
    return row_id


def lines_of(printed: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    *numbers, summary = [json.loads(line) for line in printed.splitlines()]
    return numbers, summary


def test_it_reports_then_fixes_then_finds_nothing(fleet: Fleet) -> None:
    row_id, unlinked = connected_with_pending_webhook(fleet), fleet.connect()
    organization_id = fleet.row(row_id)["organization_id"]
    reported = run(fleet.stack, "reconcile")
    fixed = run(fleet.stack, "reconcile", "--fix")
    again = run(fleet.stack, "reconcile")
    fleet.change(unlinked, wppPaired=True)
    left = run(fleet.stack, "reconcile", "--fix")

    name = f"{row_id} of {organization_id}"
    assert (reported.returncode, reported.stderr) == (LEFT, "")
    assert reported.stdout.splitlines() == [
        f"{name}: webhook_pending: the webhook is not registered yet",
        "numbers: 2, with findings: 1, fixed: 0, left: 1, busy: 0",
    ]
    assert (fixed.returncode, fixed.stderr) == (DONE, "")
    assert fixed.stdout.splitlines() == [
        f"{name}: webhook_pending: fixed",
        "numbers: 2, with findings: 1, fixed: 1, left: 0, busy: 0",
    ]
    assert fleet.session(row_id).webhook == fleet.stack.environment()["WPP_WEBHOOK_URL"]
    assert (again.returncode, again.stdout) == (DONE, "numbers: 2, with findings: 0, fixed: 0, left: 0, busy: 0\n")
    assert (left.returncode, left.stdout.count("phone_unlinked: the session asks for a QR")) == (LEFT, 1)


def test_for_scripts_each_line_is_an_object(fleet: Fleet) -> None:
    row_id = connected_with_pending_webhook(fleet)
    fleet.connect()
    unreadable = fleet.insert(settings=["theirs"])
    printed = run(fleet.stack, "reconcile", "--fix", "--json")
    numbers, summary = lines_of(printed.stdout)
    assert summary == {
        "summary": {"numbers": 3, "with_findings": 2, "fixed": 1, "left": 1, "busy": 0},
        "is_complete": True,
        "after": max(row["id"] for row in fleet.stack.supabase.rows()),
    }
    found = {number["integration"]: number for number in numbers}
    assert found[row_id] == {
        "integration": row_id,
        "organization": fleet.row(row_id)["organization_id"],
        "session": fleet.session(row_id).name,
        "findings": [{"kind": "webhook_pending", "text": "the webhook is not registered yet", "fixed": True}],
        "problems": [],
    }
    assert [(finding["kind"], finding["fixed"]) for finding in found[unreadable]["findings"]] == [
        ("row_unreadable", False)
    ]


def test_no_credential_is_printed_or_logged(fleet: Fleet) -> None:
    stack = fleet.stack
    begun = fleet.begin(wppClaim=None)
    connected_with_pending_webhook(fleet)
    ran = run(stack, "reconcile", "--fix", "--json", "--verbose", LOG_LEVEL="DEBUG")
    assert ran.returncode == DONE
    rows = stack.supabase.rows()
    keys = {client.api_key for client in stack.platform.clients}
    tokens = {row["settings"]["wppJwtToken"] for row in rows}
    qrs = {qr for session in stack.platform.sessions.values() for qr in session.qrs.values()}
    ours = {value for name, value in stack.environment().items() if name.endswith(("KEY", "SECRET"))}
    assert (len(keys), len(tokens)) == (2, 2)
    for secret in keys | tokens | qrs | ours:
        assert secret not in ran.stdout + ran.stderr
    # A client without a row can be found: its creation is in the log.
    created = [line for line in map(json.loads, ran.stderr.splitlines()) if line["message"] == "client created"]
    new = fleet.row(begun)
    assert [(line["session"], line["platform_id"]) for line in created] == [
        (new["settings"]["wppAccountNumber"], new["organization_id"])
    ]


def test_interrupted_it_says_where_to_go_on_and_goes_on_there(fleet: Fleet) -> None:
    """It is interrupted while the second page is read, of two."""
    first = sorted(fleet.insert() for _ in range(100))
    rest = sorted(fleet.insert(id=f"ffffffff-ffff-4fff-8fff-{n:012}") for n in range(3))
    fleet.stack.supabase_server.clear()
    fleet.stack.supabase_server.inject(Fault(GET, status=503, delay=1.0, skip=2))
    command = [sys.executable, "-m", "wpp", "reconcile", "--json"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment(fleet.stack), stdout=pipe, stderr=pipe, text=True) as process:
        wait_for(lambda: fleet.stack.supabase_server.count(GET) >= 3)
        process.send_signal(signal.SIGTERM)
        printed, errors = process.communicate(timeout=20)
    _, summary = lines_of(printed)
    assert process.returncode == INTERRUPTED
    assert summary == {
        "summary": {"numbers": 100, "with_findings": 0, "fixed": 0, "left": 0, "busy": 0},
        "is_complete": False,
        "after": first[-1],
    }
    assert errors.splitlines()[-1].endswith(f"call it again --after {first[-1]}")
    went_on = run(fleet.stack, "reconcile", "--json", "--after", first[-1])
    assert lines_of(went_on.stdout)[1]["summary"]["numbers"] == len(rest)
    assert went_on.returncode == DONE


def test_what_ends_it_is_told_and_so_is_where_to_go_on(fleet: Fleet) -> None:
    fleet.stack.supabase_server.inject(Fault(GET, status=503, times=None))
    ran = run(fleet.stack, "reconcile")
    assert (ran.returncode, ran.stdout) == (TRY_AGAIN, "")
    assert [line.partition(":")[0] for line in ran.stderr.splitlines()] == [
        "not all numbers were examined; to go on, call it again without --after",
        "error",
    ]


def test_a_place_to_go_on_from_must_be_the_id_of_a_row(fleet: Fleet) -> None:
    ran = run(fleet.stack, "reconcile", "--after", "foo")
    assert (ran.returncode, "--after" in ran.stderr) == (USAGE, True)


def test_a_rate_must_be_one(fleet: Fleet) -> None:
    for rate in ("0", "-1", "nan", "many"):
        ran = run(fleet.stack, "reconcile", "--rate", rate)
        assert (ran.returncode, "--rate" in ran.stderr) == (USAGE, True), rate
