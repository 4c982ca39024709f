"""Nothing that is written or answered holds a credential or a person, and nobody writes lines of their own into the log."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import requests

from emulator.faults import Fault
from emulator.stack import WPP_SECRET
from tests.support.callers import CREATE, PROVISION, new_caller

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.callers import Caller
    from tests.support.projects import Project

QR = "2@AbCdEf0123456789+/=,GhIjKl0123456789+/=,MnOpQr0123456789"


@pytest.fixture
def project(projects: dict[str, Project]) -> Iterator[Project]:
    found = projects["HS256"]
    found.stack.reset()
    yield found
    found.stack.reset()


def test_a_caller_cannot_black_out_words_of_the_log(project: Project) -> None:
    process = project.processes[CREATE]
    for word in (
        "answered",
        "duration_ms",
        "wpp-create",
        "upstream_calls",
        "reason",
        "organization",
    ):
        requests.post(process.url, headers={"Authorization": f"Bearer {word}", "apikey": word}, timeout=10)
    seen = len(process.output())
    assert project.victim.create().status_code == 200
    line = json.loads(process.output()[seen:].splitlines()[-1])
    assert {"message", "function", "duration_ms", "upstream_calls", "organization"} <= set(line)
    assert (line["message"], line["function"]) == ("answered", "wpp-create")


def test_a_secret_of_the_configuration_is_redacted_wherever_it_comes_from(project: Project) -> None:
    """Here from the platform, which names it as the state of a session: that is repeated in a warning."""
    process = project.processes[CREATE]
    seen = len(process.output())
    user = new_caller(project.stack, project.processes)
    user.create()
    project.stack.platform_server.inject(Fault("status", status=200, body=json.dumps({"status": WPP_SECRET}).encode()))
    assert user.create().status_code == 200
    output = process.output()[seen:]
    assert "unknown platform state '[redacted]'" in output
    assert WPP_SECRET not in output


def test_headers_of_a_caller_cannot_forge_a_line(project: Project) -> None:
    process = project.processes[CREATE]
    seen = len(process.output())
    for value in (b"a\tb", b"\x1b[31mred", b"\xff\xfe", b'{"level":"ERROR"}', b"x" * 4000, b"%0aINFO", b"\\nforged"):
        for name in (
            "X-Request-Id",
            "User-Agent",
            "X-Forwarded-For",
            "Origin",
            "traceparent",
            "Idempotency-Key",
            "Referer",
        ):
            try:
                requests.post(process.url, headers={name: value, "Authorization": "Bearer x"}, timeout=10)
            except requests.ConnectionError:
                continue
    requests.post(process.url + "/%0aforged%1b[31m", timeout=10)
    lines = process.output()[seen:].splitlines()
    assert lines
    for line in lines:
        assert set(json.loads(line)) <= {
            "time", "level", "message", "function", "request_id", "status", "code", "duration_ms", "upstream_calls",
            "round_trips", "upstream_ms", "organization", "reason", "upstream",
        }  # fmt: skip
        assert "forged" not in line
        assert re.fullmatch(r"[\x20-\x7e]*", line)


def _paths(user: Caller) -> Iterator[requests.Response]:
    """Every way that a call can go, well or badly."""
    stack = user.stack
    yield user.create()
    yield user.provision()
    session = user.row()["settings"]["wppAccountNumber"]
    stack.platform.revoke_tokens(session)
    yield user.provision()
    stack.platform.invalidate_key(session)
    yield user.create()
    yield user.provision()
    calls = [
        "auth.user",
        "rest.GET.profiles",
        "rest.PATCH.messenger_integrations",
        "token",
        "status",
        "qr",
        "start",
        "webhook",
    ]
    leaky = json.dumps(
        {"error": f"{WPP_SECRET} {user.token} {stack.supabase.service_role_key} {QR}", "message": user.token}
    ).encode()
    # What is asked again after a pause is broken once, so that the pause is short; anything else a second time as well.
    faults: list[dict[str, Any]] = [
        {"status": 500, "body": leaky, "times": 1}, {"action": "reset", "times": 1}, {"action": "truncate", "times": 1},
        {"status": 403, "body": leaky}, {"status": 400, "body": leaky}, {"status": 200, "body": leaky},
        {"status": 200, "body": b"<html>" + leaky}, {"status": 200, "body": b"null"},
    ]  # fmt: skip
    for call in calls:
        for fault in faults:
            server = stack.supabase_server if "." in call else stack.platform_server
            server.inject(Fault(**{"call": call, "times": 2, **fault}))
            stack.platform.revoke_tokens(user.row()["settings"]["wppAccountNumber"])
            yield user.create()
            server.clear_faults()
    stack.platform.settings.qr_as_png = True
    yield user.provision()
    user.scan()
    yield user.provision()
    yield user.create(body={"organization_id": "x", "token": user.token})
    for bad in (b"{", b"x" * 70_000, user.token.encode()):
        yield requests.post(
            user.processes[CREATE].url, data=bad, headers={"Authorization": f"Bearer {user.token}"}, timeout=10
        )
    for text in (user.token[:-3], stack.supabase.service_role_key, "key_0123456789abcdef", user.token + ".x"):
        yield requests.post(user.processes[PROVISION].url, headers={"Authorization": f"Bearer {text}"}, timeout=10)


def test_no_output_and_no_answer_holds_a_credential_after_all_paths(project: Project) -> None:
    project.stack.platform.settings.qr_delay = 0.1
    user = new_caller(project.stack, project.processes)
    answers = list(_paths(user))
    assert {200, 400, 401, 413, 502} <= {answer.status_code for answer in answers}
    stack = project.stack
    secrets = {
        stack.supabase.service_role_key,
        stack.supabase.anon_key,
        stack.supabase.jwt_secret,
        WPP_SECRET,
        user.token,
        QR,
    }
    qrs = set()
    for received in list(stack.platform_server.received):
        told = json.loads(received.answer) if received.answer[:1] == b"{" else {}
        secrets |= {told[name] for name in ("apiKey", "token") if told.get(name)}
        qrs |= {told["qr"]} if told.get("qr") else set()
    assert len(secrets) > 8
    assert qrs
    secrets |= {secret[-16:] for secret in secrets | qrs}  # a piece is enough: of a JWT, its signature's
    output = "".join(process.output() for process in project.processes.values())
    assert '"message": "answered"' in output
    email = stack.supabase.auth.claims(user.user_id)["email"]
    assert not [secret for secret in {*secrets, *qrs, email, user.user_id} if secret in output]
    for answer in answers:
        body = answer.json() if answer.content else {}
        shown = body.pop("qrcode", None)
        assert shown is None or shown in qrs
        text = json.dumps(body, ensure_ascii=False) + str(answer.headers)
        assert not [secret for secret in {*secrets, *qrs, email} if secret in text]
