"""A session's name stands in the addresses of calls: whoever gives it, it cannot make another call of one.

It comes from the platform, and from a row that other code of the product writes too.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from emulator.faults import Fault
from tests.support.callers import CREATE, PROVISION, new_caller

if TYPE_CHECKING:
    from tests.support.ledger import Ledger
    from tests.support.projects import Project

HOSTILE = [
    ".", "..", "../../internal", "../../auth/token", "a/b", "a/../b", "/", "//evil.example/", "a?b=c", "?", "a#b", "#", "%",
    "%2e%2e", "..%2f..%2finternal", "a%2Fb", "a\\b", "..\\..", "a\nb", "a\r\nX-Injected: 1", "a\0b", "ä", "\u202e", "x" * 5000,
]  # fmt: skip
ODD_BUT_HARMLESS = ["...", "@evil.example", "a b", "0000000000001", "7900@c.us", "a:b;c=d,e", "~"]
CALLS: list[tuple[str, Any]] = [(CREATE, {}), (CREATE, {"force_recreate": True}), (PROVISION, {})]


@pytest.fixture
def project(projects: dict[str, Project]) -> Project:
    found = projects["HS256"]
    found.stack.reset()
    found.stack.platform.settings.qr_delay = 0
    return found


def _odd_calls(project: Project, session: str) -> set[str]:
    """Paths of the platform that are not those of the contract for this session."""
    contract = (
        r"/api/integrations/wpp/create|/auth/token|/api/accounts/start"
        rf"|/(api/accounts|internal/session)/{re.escape(session)}/(status|qr|webhook|stop)"
    )
    paths = {received.request.path for received in list(project.stack.platform_server.received)}
    return {path for path in paths if not re.fullmatch(contract, path)}


@pytest.mark.parametrize(("function", "options"), CALLS)
def test_a_stored_name_that_is_invalid_is_replaced_by_the_platforms_own(
    project: Project, function: str, options: Any, ledger: Ledger
) -> None:
    failed = []
    for name in (name for name in HOSTILE if "\0" not in name):  # jsonb cannot hold it
        user = new_caller(project.stack, project.processes)
        session = user.create().json()["session"]
        user.change_settings(wppAccountNumber=name)
        project.forget()

        answer = user.call(function, options)

        odd = _odd_calls(project, session)
        ledger.note("hostile session name", refused=not odd, reached=len(odd))
        healed = answer.status_code == 200 and answer.json()["session"] == session
        if odd or not healed or user.row()["settings"]["wppAccountNumber"] != session:
            failed.append(f"{name[:30]!r}: answered {answer.status_code} {answer.json()}, called {odd}")
    assert not failed, "\n".join(failed)


def test_a_hostile_name_from_the_platform_is_never_called(project: Project, ledger: Ledger) -> None:
    """It counts as a lost answer: the platform is asked again, under the same idempotency key."""
    failed = []
    for name in HOSTILE:
        user = new_caller(project.stack, project.processes)
        project.forget()
        _name_sessions(project, name, times=1)

        answer = user.create()

        session = next((client.session for client in project.stack.platform.clients_of(user.organization_id)), "")
        odd = _odd_calls(project, session)
        ledger.note("hostile session name", refused=not odd, reached=len(odd))
        if odd or not session or answer.json().get("session") != session:
            failed.append(f"{name[:30]!r}: answered {answer.status_code} {answer.json()}, called {odd}")
    assert not failed, "\n".join(failed)


def test_a_platform_that_gives_no_other_name_is_an_error(project: Project) -> None:
    user = new_caller(project.stack, project.processes)
    project.forget()
    _name_sessions(project, "..", times=None)
    answer = user.create()
    assert (answer.status_code, answer.json()["code"]) == (502, "platform_unavailable")
    assert {received.call for received in project.stack.platform_server.received} == {"create"}
    assert not user.row()["is_active"]


def _name_sessions(project: Project, name: str, times: int | None) -> None:
    body = json.dumps({"apiKey": "key_0123456789abcdef", "session": name}).encode()
    project.stack.platform_server.inject(Fault("create", status=200, body=body, times=times))


def test_a_name_that_is_only_odd_is_used_as_it_is(project: Project) -> None:
    """Names are the platform's business as long as they stay in their place. These are another session's: they are not known, and
    there is no time to ask again."""
    for name in ODD_BUT_HARMLESS:
        user = new_caller(project.stack, project.processes)
        user.create()
        user.change_settings(wppAccountNumber=name)
        project.forget()

        answer = user.create()

        assert (answer.status_code, answer.json()["code"]) == (504, "deadline_passed"), name
        assert project.stack.platform_server.count("create") == 0
        assert _odd_calls(project, name) == set()
