"""Promises of SECURITY.md that no other module of this folder tests: changed secrets, and what upstreams write."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import requests

from emulator.faults import Fault
from tests.support.callers import CONNECTING, FUNCTIONS, PROVISION, Caller, new_caller
from tests.support.forging import Forge
from wpp.config import config_from
from wpp.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.ledger import Ledger
    from tests.support.projects import Project

MARK = "written-by-the-upstream"
UNAVAILABLE = {
    PROVISION: "WhatsApp сейчас недоступен. Обратитесь к администратору: причина записана в журнале.",
    "": "WhatsApp is unavailable right now. Please contact your administrator: the log has the reason.",
}


@pytest.fixture
def project(projects: dict[str, Project]) -> Iterator[Project]:
    found = projects["HS256"]
    found.stack.reset()
    found.stack.platform.settings.qr_delay = 0
    yield found
    found.stack.reset()


@pytest.fixture
def user(project: Project) -> Caller:
    return new_caller(project.stack, project.processes)


def test_a_changed_platform_secret_is_noticed_only_where_a_client_is_made(
    project: Project, user: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = user.create().json()["session"]
    monkeypatch.setattr(project.stack.platform, "wpp_secret", "the-new-secret")
    assert [user.call(function).json()["session"] for function in CONNECTING] == [session] * len(CONNECTING)
    for function in CONNECTING:
        process = project.processes[function]
        seen = len(process.output())
        answer = new_caller(project.stack, project.processes).call(function)
        assert (answer.status_code, answer.json()["code"]) == (502, "platform_refused")
        assert answer.json()["error"] == UNAVAILABLE.get(function, UNAVAILABLE[""])
        (line,) = [line for line in process.output()[seen:].splitlines() if '"ERROR"' in line]
        assert "refused with status 401: is WPP_SECRET right?" in line
        assert answer.json()["request_id"] in line


@pytest.mark.parametrize("function", FUNCTIONS)
def test_hs256_ends_where_its_secret_is_taken_away(projects: dict[str, Project], function: str, ledger: Ledger) -> None:
    moved = projects["ES256"]
    token = Forge(projects["HS256"]).own()
    moved.forget()
    answer = requests.post(moved.processes[function].url, headers={"Authorization": f"Bearer {token}"}, timeout=20)
    ledger.note("the shared secret taken away", refused=answer.status_code == 401, reached=len(moved.received()))
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
    assert moved.received() == []


def test_a_session_that_was_stopped_at_the_platform_shows_another_qr(project: Project, user: Caller) -> None:
    seen = user.provision().json()["qrcode"]
    project.stack.platform.disconnect(user.row()["settings"]["wppAccountNumber"])
    fresh = user.provision().json()
    assert fresh["status"] == "qr_issued"
    assert fresh["qrcode"] != seen


def test_without_an_anon_key_the_service_key_stands_in_for_it_and_nothing_else_does(
    project: Project, user: Caller
) -> None:
    env = project.stack.environment()
    del env["SUPABASE_ANON_KEY"]
    project.forget()
    with closing(Runtime(config_from(env))) as runtime:
        runtime.caller_check.confirm(user.token, user.user_id, runtime.begin("test", "r", 5).upstream)
    (received,) = project.stack.supabase_server.received
    assert received.request.headers["apikey"] == project.stack.supabase.service_role_key
    assert received.request.headers["authorization"] == f"Bearer {user.token}"


def test_what_an_upstream_writes_is_in_no_log_and_in_no_answer(project: Project, user: Caller) -> None:
    """It is not a credential, so no redaction takes it out: it must not get there."""
    user.create()
    body = b'{"error": "%(s)s", "message": "%(s)s", "code": "%(s)s", "hint": "%(s)s"}' % {b"s": MARK.encode()}
    headers = {"X-Mark": MARK, "Retry-After": MARK, "WWW-Authenticate": MARK, "Set-Cookie": f"{MARK}=1"}
    seen = {process: len(process.output()) for process in project.processes.values()}
    answers = []
    for call in ("auth.user", "rest.GET.profiles", "token", "status", "qr", "create"):
        server = project.stack.supabase_server if "." in call else project.stack.platform_server
        caller = new_caller(project.stack, project.processes) if call == "create" else user
        for status, content in (
            (400, body),
            (403, body),
            (409, body),
            (200, body),
            (200, b"<html>" + body),
            (429, body),
        ):
            project.stack.platform.revoke_tokens(user.row()["settings"]["wppAccountNumber"])
            server.inject(Fault(call, status=status, body=content, headers=headers, times=2))
            answers += [caller.create()]
            server.clear_faults()
    logs = "".join(process.output()[start:] for process, start in seen.items())
    assert {502, 401} <= {answer.status_code for answer in answers}
    assert logs.count('"message": "answered"') == len(answers)
    assert MARK not in logs
    assert not [answer.text for answer in answers if MARK in answer.text + str(answer.headers)]
