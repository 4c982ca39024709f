"""Two organizations in the same processes: nothing of one is read, changed or shown by the other's calls."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import requests

from emulator.faults import Fault
from tests.support.callers import CONNECTING, FUNCTIONS, Caller, new_caller

if TYPE_CHECKING:
    from tests.support.ledger import Ledger
    from tests.support.projects import Project


@pytest.fixture
def project(projects: dict[str, Project]) -> Project:
    found = projects["ES256"]
    found.stack.reset()
    found.stack.platform.settings.qr_delay = 0
    return found


def _user(project: Project, organization_id: str | None = None) -> Caller:
    """A user of an organization of their own, or one more of an organization that is there."""
    user = new_caller(project.stack, project.processes)
    auth = project.stack.supabase.auth
    if organization_id is not None:
        _move(user, organization_id)
        user = replace(user, organization_id=organization_id)
    return replace(user, token=auth.sign(auth.claims(user.user_id), project.algorithm))


def _move(user: Caller, organization_id: str | None) -> None:
    user.stack.supabase.execute("update profiles set organization_id = %s where id = %s", organization_id, user.user_id)


def _marks(user: Caller) -> set[str]:
    """All that is this organization's and nobody else's."""
    marks = {user.organization_id, user.user_id, user.token}
    for row in user.rows():
        marks |= {row["id"], row["webhook_key"]}
        own = {name: value for name, value in row["settings"].items() if name != "wppWebhookHash"}  # the same for all
        marks |= {value for value in own.values() if isinstance(value, str)}
        marks |= set(row["settings"].get("wppRequests", {}))
    return marks


def _state(user: Caller) -> Any:
    """What is stored of this organization, and what its clients and sessions went through."""
    platform, rows = user.stack.platform, user.rows()
    ids = {user.organization_id, *(row["settings"].get("wppSubOrgId") for row in rows)}
    clients = [replace(client) for client in platform.clients if client.organization_id in ids]
    return rows, clients, [replace(platform.sessions[client.session]) for client in clients]


def _received(project: Project) -> str:
    servers = (project.stack.supabase_server, project.stack.platform_server)
    requests = [r.request for server in servers for r in list(server.received)]
    return "\n".join(f"{r.path}?{r.query} {dict(r.headers)} {r.body.decode(errors='replace')}" for r in requests)


def _answered(project: Project) -> str:
    servers = (project.stack.supabase_server, project.stack.platform_server)
    return "\n".join(r.answer.decode(errors="replace") for server in servers for r in list(server.received))


OPTIONS: list[Any] = [
    None, {}, {"organization_id": "OTHER"}, {"organizationId": "OTHER", "session": "SESSION"}, {"number": "SESSION"},
    {"wppSubOrgId": "OTHER__wpp__00000000"}, {"integration_id": "ROW"},
    {"session": "SESSION"}, {"session_name": "SESSION"}, {"new": True}, {"force": True, "apiKey": "KEY"},
    {"add_new": True, "organization_id": "OTHER", "wppSubOrgId": "OTHER__wpp__00000000", "session": "SESSION"},
    {"force_recreate": True, "organization_id": "OTHER", "integration_id": "ROW", "session": "SESSION", "apiKey": "KEY"},
]  # fmt: skip


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_call_neither_reads_nor_changes_nor_shows_anything_of_another_organization(
    project: Project, function: str, options: Any, ledger: Ledger
) -> None:
    ours, theirs = _user(project), _user(project)
    assert theirs.provision().status_code == 200
    row = theirs.row()
    named = {"OTHER": theirs.organization_id, "SESSION": row["settings"]["wppAccountNumber"], "ROW": row["id"]}
    named["KEY"] = row["settings"]["wppApiKey"]
    text = json.dumps(options)
    for name, value in named.items():
        text = text.replace(name, value)
    marks, before = _marks(theirs), _state(theirs)
    project.forget()

    answers = [
        ours.call(function, json.loads(text), Idempotency_Key=row["settings"].get("wppIdempotencyKey", "x"))
        for _ in (1, 2)
    ]

    assert {answer.status_code for answer in answers} <= (
        {200, 400} if function in CONNECTING and "integration_id" not in text else {200, 400, 404}
    )
    _check_that_nothing_crossed(project, marks, answers, ledger)
    assert _state(theirs) == before


def _check_that_nothing_crossed(
    project: Project, marks: set[str], answers: list[requests.Response], ledger: Ledger
) -> None:
    """None of the other organization's marks went to or came from Supabase or the platform, or is in an answer."""
    crossed = {mark for mark in marks if any(mark in shown for shown in (_received(project), _answered(project)))}
    shown = {mark for mark in marks if any(mark in a.text or mark in str(a.headers) for a in answers)}
    ledger.note("another organization's data", refused=not shown, reached=len(crossed))
    assert not crossed, "asked for or read upstream"
    assert not shown, "told to another organization"


PLAIN: dict[str, bool] = {}
ADD_NEW, FORCE_RECREATE = {"add_new": True}, {"force_recreate": True}
KEYS = {"key-of-a-plain-call": PLAIN, "key-of-an-addition": ADD_NEW, "key-of-a-recreation": FORCE_RECREATE}


@pytest.mark.parametrize("options", [PLAIN, ADD_NEW, FORCE_RECREATE], ids=str)
@pytest.mark.parametrize("key", KEYS)
def test_a_key_of_another_organization_means_nothing(
    project: Project, options: dict[str, bool], key: str, ledger: Ledger
) -> None:
    """Neither repeated nor refused for other options, as it would be within the organization."""
    ours, theirs = _user(project), _user(project)
    assert [theirs.create(used, Idempotency_Key=name).status_code for name, used in KEYS.items()] == [200] * 3
    marks, before = _marks(theirs), _state(theirs)
    project.forget()

    first = ours.create(options, Idempotency_Key=key)
    second = ours.create(options, Idempotency_Key=key)

    assert (first.status_code, first.headers.get("Idempotent-Replayed")) == (200, None)
    assert (second.status_code, second.headers.get("Idempotent-Replayed")) == (200, "true")
    assert second.json()["session"] == first.json()["session"] == ours.row()["settings"]["wppAccountNumber"]
    _check_that_nothing_crossed(project, marks, [first, second], ledger)
    assert _state(theirs) == before
    assert theirs.create(KEYS[key], Idempotency_Key=key).headers["Idempotent-Replayed"] == "true"


def test_recreating_all_numbers_of_one_organization_leaves_those_of_another(project: Project, ledger: Ledger) -> None:
    ours, theirs = _user(project), _user(project)
    for user in (ours, theirs):
        assert [user.create(options).status_code for options in (PLAIN, ADD_NEW, ADD_NEW)] == [200] * 3
    marks, before = _marks(theirs), _state(theirs)
    project.forget()

    answers = [ours.create(options) for options in (FORCE_RECREATE, ADD_NEW, FORCE_RECREATE)]

    assert [answer.status_code for answer in answers] == [200] * 3
    assert project.stack.platform_server.count("stop") == 2
    _check_that_nothing_crossed(project, marks, answers, ledger)
    assert _state(theirs) == before


def test_one_key_of_many_organizations_at_once_adds_a_number_to_each(project: Project) -> None:
    users = [_user(project) for _ in range(4)]
    with ThreadPoolExecutor(8) as threads:
        calls = [(user, threads.submit(user.create, ADD_NEW, Idempotency_Key="everybody's")) for user in users * 2]
        answers = [(user, call.result()) for user, call in calls]
    sessions = {user.organization_id: user.row()["settings"]["wppAccountNumber"] for user in users}
    assert len(set(sessions.values())) == 4
    assert {answer.json()["session"] == sessions[user.organization_id] for user, answer in answers} == {True}


def test_a_key_stays_with_the_organization_when_its_user_is_moved(project: Project) -> None:
    user, other = _user(project), _user(project)
    first = user.create(ADD_NEW, Idempotency_Key="mine")
    _move(user, other.organization_id)
    moved = user.create(FORCE_RECREATE, Idempotency_Key="mine")
    assert (moved.status_code, moved.headers.get("Idempotent-Replayed")) == (200, None)
    assert moved.json()["session"] == other.row()["settings"]["wppAccountNumber"] != first.json()["session"]
    _move(user, user.organization_id)
    back = user.create(ADD_NEW, Idempotency_Key="mine")
    assert (back.json()["session"], back.headers["Idempotent-Replayed"]) == (first.json()["session"], "true")


@pytest.mark.parametrize("call", ["auth.user", "rest.GET.profiles", "create", "token", "status", "start", "qr"])
def test_failures_of_one_organization_show_nothing_of_another(project: Project, call: str) -> None:
    ours, theirs = {function: _user(project) for function in CONNECTING}, _user(project)
    assert theirs.provision().status_code == 200
    marks = _marks(theirs)
    server = project.stack.supabase_server if "." in call else project.stack.platform_server
    server.inject(Fault(call=call, status=500, body=json.dumps(sorted(marks)).encode(), times=None))
    with ThreadPoolExecutor(len(CONNECTING)) as threads:
        answers = list(threads.map(lambda function: ours[function].call(function), CONNECTING))
    assert not {mark for mark in marks if any(mark in answer.text for answer in answers)}


def test_many_users_at_once_each_get_their_own(project: Project) -> None:
    users = [_user(project) for _ in range(4)]
    users += [_user(project, user.organization_id) for user in users]
    with ThreadPoolExecutor(16) as pool:
        rounds = [
            (user, pool.submit(user.call, function)) for _ in range(3) for user in users for function in CONNECTING
        ]
        answers = [(user, future.result().json()) for user, future in rounds]
    sessions = {user.organization_id: user.row()["settings"]["wppAccountNumber"] for user in users}
    assert len(set(sessions.values())) == 4
    assert {answer["session"] == sessions[user.organization_id] for user, answer in answers} == {True}


@pytest.mark.parametrize("function", CONNECTING)
def test_a_user_who_was_moved_gets_the_new_organization_at_once(project: Project, function: str) -> None:
    user, other = _user(project), _user(project)
    first, theirs = user.call(function).json(), other.call(function).json()
    assert first["session"] != theirs["session"]
    _move(user, other.organization_id)
    project.forget()

    moved = user.call(function).json()

    assert moved["session"] == theirs["session"]
    assert first["session"] not in json.dumps(moved) + _received(project)
    _move(user, user.organization_id)
    assert user.call(function).json()["session"] == first["session"]


@pytest.mark.parametrize("function", CONNECTING)
def test_a_user_who_was_taken_out_of_the_organization_gets_nothing_at_once(project: Project, function: str) -> None:
    user = _user(project)
    first = user.call(function).json()
    _move(user, None)
    project.forget()
    answer = user.call(function)
    assert answer.json()["code"] == "organization_not_found"
    assert first["session"] not in answer.text
    assert set(project.received()) == {"auth.user", "rest.GET.profiles"}


@pytest.mark.parametrize("function", CONNECTING)
@pytest.mark.parametrize("how", ["signed out", "banned", "deleted"])
def test_a_user_who_lost_the_session_gets_nothing_at_once(project: Project, function: str, how: str) -> None:
    user, auth = _user(project), project.stack.supabase.auth
    first = user.call(function).json()
    if how == "banned":
        auth.ban(user.user_id)
    elif how == "deleted":
        auth.delete(user.user_id)
    else:
        headers = {"Authorization": f"Bearer {user.token}", "apikey": project.stack.supabase.anon_key}
        url = f"{project.stack.supabase_server.url}/auth/v1/logout"
        assert requests.post(url, headers=headers, timeout=10).status_code == 204
    project.forget()
    answer = user.call(function)
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
    assert first["session"] not in answer.text
    assert set(project.received()) <= {"auth.user", "rest.GET.profiles"}


def test_a_token_that_supabase_confirms_for_another_user_is_refused(project: Project) -> None:
    """As after a mix-up in a cache between us and Supabase."""
    ours, theirs = _user(project), _user(project)
    body = json.dumps({"id": theirs.user_id}).encode()
    project.stack.supabase_server.inject(Fault(call="auth.user", status=200, body=body, times=1))
    assert ours.create().status_code == 401
    assert ours.rows() == []
