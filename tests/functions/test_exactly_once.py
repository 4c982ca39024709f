"""One click, one client, one key: the straight way, counted, and many callers at once."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from emulator.processes import free_port, function_process, server_process
from tests.support.callers import CONNECTING, CREATE, PROVISION, Caller, new_caller
from tests.support.servers import wait_for
from wpp.errors import CreationInProgress
from wpp.provisioning import claim, start
from wpp.provisioning.service import connect

if TYPE_CHECKING:
    import requests

    from emulator.stack import Stack
    from tests.support.intervening import Intervening
    from wpp.runtime import Runtime


def upstream_work(answer: requests.Response) -> tuple[int, int]:
    """Calls and round trips, as the answer itself says."""
    match = re.search(r'desc="(\d+) calls, (\d+) round trips"', answer.headers["Server-Timing"])
    assert match
    return int(match[1]), int(match[2])


def received(stack: Stack) -> list[str]:
    return [r.call for r in [*stack.supabase_server.received, *stack.platform_server.received]]


@pytest.mark.parametrize(("create_starts", "qr_delay"), [(True, 10), (True, 0), (False, 10)])
def test_a_first_creation_takes_at_most_six_round_trips(
    caller: Caller, runtime: Runtime, monkeypatch: pytest.MonkeyPatch, qr_delay: float, *, create_starts: bool
) -> None:
    # With this latency, or on a busy machine, a claim would need a beat meanwhile, and another look before the start.
    monkeypatch.setattr(claim, "BEAT_SECONDS", 60.0)
    monkeypatch.setattr(start, "FENCE_SECONDS", 60.0)
    caller.stack.platform.settings.create_starts = create_starts
    caller.stack.platform.settings.qr_delay = qr_delay
    # With latency every call takes long enough that what overlaps counts as one round trip and nothing else does.
    caller.stack.supabase_server.latency = caller.stack.platform_server.latency = 0.5
    caller.stack.supabase_server.clear()
    invocation = runtime.begin("wpp-create", "id")
    connect(invocation, caller.token)
    trace = invocation.upstream.trace
    assert trace.round_trips <= 6
    assert len(trace.requests) <= 12
    assert sorted(request.name for request in trace.requests) == sorted(received(caller.stack))
    settings = caller.row()["settings"]
    assert settings["wppJwtToken"]
    assert not {"wppClaim", "wppWebhookPending"} & set(settings)
    assert (caller.session().starts, caller.session().restarts) == (1, 0)
    assert caller.session().webhook


def test_a_row_that_somebody_claims_after_it_was_read_is_not_taken(
    caller: Caller, waiting: Runtime, meanwhile: Intervening
) -> None:
    caller.stack.supabase.insert_row(organization_id=caller.organization_id, settings={"theirs": 1})
    theirs = {"id": "somebody's", "beat": 1, "doing": "create"}

    meanwhile.after("GET", "profiles", lambda: caller.change_settings(wppClaim=theirs))
    with pytest.raises(CreationInProgress):
        connect(waiting.begin("wpp-create", "id", 5), caller.token)  # less than a claim takes to be found dead
    assert meanwhile.has_happened
    assert caller.row()["settings"] == {"theirs": 1, "wppClaim": theirs}
    assert caller.stack.platform_server.count("create") == 0


def test_a_warm_call_for_a_connected_organization_is_three_calls_in_two_round_trips(caller: Caller) -> None:
    caller.create()
    caller.scan()
    caller.create()  # notes the webhook, and remembers that the session is connected
    caller.stack.supabase_server.clear()
    caller.stack.platform_server.clear()
    caller.stack.supabase_server.latency = caller.stack.platform_server.latency = 0.5

    answer = caller.create()

    assert answer.json()["status"] == "connected"
    assert upstream_work(answer) == (3, 2)
    assert sorted(received(caller.stack)) == ["auth.user", "rest.GET.profiles", "status"]


def test_a_second_call_creates_nothing(caller: Caller) -> None:
    first, second = caller.create().json(), caller.provision().json()
    assert first["session"] == second["session"]
    assert caller.stack.platform_server.count("create") == 1
    assert len(caller.rows()) == 1


def test_a_running_session_is_never_started_again(caller: Caller) -> None:
    for _ in range(3):
        caller.create()
        caller.provision()
    session = caller.session()
    assert (session.starts, session.restarts) == (1, 0)


@pytest.mark.parametrize("function", CONNECTING)
def test_an_offline_session_is_started_and_its_webhook_registered(caller: Caller, function: str) -> None:
    caller.stack.platform.settings.create_starts = False
    caller.call(function)
    session = caller.session()
    assert (session.starts, session.restarts) == (1, 0)
    assert session.webhook == "https://product.example/functions/v1/wpp-webhook"


def test_the_webhook_of_a_new_session_is_registered(caller: Caller) -> None:
    caller.create()
    session = caller.session()
    assert session.webhook == "https://product.example/functions/v1/wpp-webhook"


def test_45_calls_at_once_over_three_processes_make_one_client(caller: Caller, stack: Stack) -> None:
    with ExitStack() as running:
        env = stack.environment()
        names = (CREATE, PROVISION, CREATE)
        processes = [running.enter_context(function_process(name, env)) for name in names]
        for process in processes:
            process.wait_until_ready()
        threads = running.enter_context(ThreadPoolExecutor(45))

        answers = list(threads.map(lambda n: caller.call_at(processes[n % 3].url), range(45)))

    assert [answer.status_code for answer in answers] == [200] * 45
    assert len({answer.json()["session"] for answer in answers}) == 1
    assert stack.platform_server.count("create") == 1
    assert len(stack.platform.clients_of(caller.organization_id)) == 1
    assert len(caller.rows()) == 1


def test_many_organizations_at_once_over_several_processes_each_get_one_client(stack: Stack) -> None:
    callers = [new_caller(stack, {}) for _ in range(25)]
    with ExitStack() as running:
        env = stack.environment()
        servers = [running.enter_context(server_process(env, free_port())) for _ in range(3)]
        for server in servers:
            server.wait_until_ready()
        threads = running.enter_context(ThreadPoolExecutor(40))

        def call(number: int) -> requests.Response:
            name = ("wpp-create", "wpp-provision")[number % 2]
            return callers[number % 25].call_at(f"{servers[number % 3].url}/functions/v1/{name}")

        answers = list(threads.map(call, range(150)))

    assert {answer.status_code for answer in answers} == {200}
    for number, caller in enumerate(callers):
        (client,) = stack.platform.clients_of(caller.organization_id)
        assert {answers[n].json()["session"] for n in range(number, 150, 25)} == {client.session}
        assert caller.row()["settings"]["wppApiKey"] == client.api_key
    assert stack.platform_server.count("create") == 25


def test_a_fresh_key_that_is_refused_for_a_while_is_tried_again(caller: Caller) -> None:
    caller.stack.platform.settings.key_activation_delay = 0.8
    answer = caller.create()
    assert answer.status_code == 200
    assert caller.stack.platform_server.count("create") == 1
    assert caller.stack.platform_server.count("token") > 1


def test_a_stored_token_that_went_stale_is_renewed_and_saved(caller: Caller) -> None:
    caller.create()
    before = caller.row()["settings"]
    caller.stack.platform.revoke_tokens(before["wppAccountNumber"])

    assert caller.create().status_code == 200

    wait_for(lambda: caller.row()["settings"]["wppJwtToken"] != before["wppJwtToken"])
    after = caller.row()["settings"]
    assert after["wppApiKey"] == before["wppApiKey"]


def test_a_token_saved_by_one_process_serves_another(caller: Caller) -> None:
    caller.create()
    caller.provision()
    assert caller.stack.platform_server.count("token") == 1
