"""The commands about one number: connecting it, writing with it, stopping it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import uuid
from functools import partial
from typing import TYPE_CHECKING

import pytest
import segno

from emulator.faults import Fault
from tests.support.cli import DONE, FAILED, NOT_THERE, TRY_AGAIN, USAGE, environment, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.stack import Stack

    Cli = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.slow


@pytest.fixture
def organization(stack: Stack) -> str:
    organization_id = str(uuid.uuid4())
    stack.supabase.add_user(f"{organization_id}@example.com", organization_id=organization_id)
    return organization_id


@pytest.fixture
def cli(stack: Stack) -> Cli:
    return partial(run, stack)


def test_an_operator_connects_an_organization_writes_and_stops(stack: Stack, cli: Cli, organization: str) -> None:
    stack.platform.settings.qr_lifetime = 3600.0
    stack.platform.settings.qr_delay = 60.0
    created = json.loads(cli("create", organization, "--json").stdout)
    stack.platform.settings.qr_delay = 0.3
    again = json.loads(cli("create", organization, "--json").stdout)
    token = json.loads(cli("token", organization, "--json").stdout)
    drawn = cli("qr", organization, "--wait", "10")
    (client,) = stack.platform.clients_of(organization)
    session = stack.platform.sessions[client.session]
    picture = io.StringIO()
    segno.make(session.qrs[0], error="l").terminal(picture, compact=True, border=2)
    stack.platform.scan(client.session)
    status = cli("status", organization)
    sent = cli("send-text", organization, "79990000000", "-", given="two\nlines")
    stopped = cli("stop", organization)

    (row,) = stack.supabase.rows(organization)
    masked = f"{client.api_key[:6]}••••••{client.api_key[-4:]}"
    named = {"organization": organization, "integration": row["id"], "session": client.session, "apiKey": masked}
    assert created == {**named, "created": True, "status": "starting"}
    assert again.items() >= {**named, "created": False}.items()
    assert session.webhook == stack.environment()["WPP_WEBHOOK_URL"]
    assert token["token"].startswith("eyJ")
    assert len(token["token"]) == 16
    assert drawn.stdout.endswith(picture.getvalue())
    assert (drawn.returncode, drawn.stderr) == (DONE, "")
    assert "status: connected\n" in status.stdout
    assert client.api_key not in status.stdout
    (message,) = [m for m in stack.platform.messages.values() if m["session"] == client.session]
    assert (message["to"], message["text"]) == ("79990000000", "two\nlines")
    assert "task: task_" in sent.stdout
    assert stopped.returncode == DONE
    assert stack.platform.state(session) == "offline"


def test_verbose_logs_to_standard_error_without_the_secrets_of_the_configuration(
    stack: Stack, cli: Cli, organization: str
) -> None:
    cli("create", organization)
    secret = stack.environment()["WPP_SECRET"]
    told = Fault("status", status=200, body=json.dumps({"status": secret}).encode(), times=2)
    stack.platform_server.inject(told)
    quiet, verbose = cli("status", organization), cli("status", organization, "--verbose")
    assert [line for line in quiet.stderr.splitlines() if line.startswith("{")] == []
    (line,) = [line for line in verbose.stderr.splitlines() if line.startswith("{")]
    assert "unknown platform state '[redacted]'" in json.loads(line)["message"]
    assert secret not in line


def test_scripts_can_tell_the_failures_apart(stack: Stack, cli: Cli, organization: str) -> None:
    def failed(*arguments: str, **env: str) -> tuple[int, str]:
        ran = cli(*arguments, **env)
        assert ran.stdout == ""
        return ran.returncode, ran.stderr

    code, said = failed("status", organization, WPP_SECRET="", SUPABASE_URL="ftp://x")
    assert (code, said.count("\n")) == (USAGE, 1)
    assert "WPP_SECRET is missing" in said
    assert failed("status", "no-uuid")[0] == USAGE
    code, said = failed("status", organization)
    assert (code, said.count("\n")) == (NOT_THERE, 1)
    assert failed("create", str(uuid.uuid4())) == (NOT_THERE, "error: Organization not found\n")
    code, said = failed("create", organization, WPP_SECRET="a-wrong-secret")
    assert (code, "WPP_SECRET" in said, "a-wrong-secret" in said) == (FAILED, True, False)
    stack.platform_server.inject(Fault("create", action="refuse"))
    code, said = failed("create", organization, WPP_DEADLINE_SECONDS="1")
    assert (code, said.count("\n")) == (TRY_AGAIN, 1)


def test_a_session_that_has_no_qr_yet_is_not_there_and_a_picture_is_not_drawn(
    stack: Stack, cli: Cli, organization: str
) -> None:
    stack.platform.settings.stuck_starting = True
    cli("create", organization)
    waited = cli("qr", organization, "--wait", "0.3", "--json")
    stack.platform.settings.stuck_starting = False
    stack.platform.settings.qr_as_png = True
    drawn = cli("qr", organization)
    shown = cli("qr", organization, "--json")
    assert (waited.returncode, json.loads(waited.stdout)["status"]) == (NOT_THERE, "starting")
    assert (drawn.returncode, "--json" in drawn.stderr) == (USAGE, True)
    assert (shown.returncode, json.loads(shown.stdout)["qrcode"][:15]) == (DONE, "data:image/png;")


def test_who_stops_reading_ends_it_quietly(stack: Stack, cli: Cli, organization: str) -> None:
    assert cli("create", organization).returncode == DONE
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "wpp", "status", organization]
    clean = environment(stack)
    with open(writing, "wb") as output:  # noqa: PTH123 - a descriptor, no path
        ran = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, timeout=30, env=clean, check=False)
    assert (ran.returncode, ran.stderr) == (FAILED, b"")


def test_an_empty_text_is_not_sent(stack: Stack, cli: Cli, organization: str) -> None:
    assert cli("send-text", organization, "79990000000", " ").returncode == USAGE
    assert len(stack.platform_server.received) == 0


def test_a_further_number_is_chosen_by_its_session(stack: Stack, cli: Cli, organization: str) -> None:
    keys = {"wppApiKey": "key_of-the-second-number", "wppAccountNumber": "client_second", "wppSubOrgId": "x__wpp__1"}
    stack.supabase.insert_row(organization_id=organization, is_primary=False, settings=keys)
    assert cli("status", organization).returncode == NOT_THERE
    refused = cli("token", organization, "--session", "client_second")
    assert (refused.returncode, "refuses the organization's API key" in refused.stderr) == (FAILED, True)
