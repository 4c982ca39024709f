"""What the functions write: JSON lines that say what happened, and no secret, in no path."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from emulator.faults import Fault
from emulator.processes import function_process
from tests.support.callers import CREATE, DEADLINE_SECONDS, PROVISION, Caller, new_caller

if TYPE_CHECKING:
    import requests

    from emulator.stack import Stack


def lines(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def test_a_call_ends_in_one_json_line_with_its_facts(caller: Caller) -> None:
    answer = caller.create(X_Request_Id="my-request-1")

    (line,) = [
        line
        for line in lines(caller.processes[CREATE].output())
        if line.get("request_id") == "my-request-1" and line["message"] == "answered"
    ]
    assert line["function"] == "wpp-create"
    assert line["organization"] == caller.organization_id
    assert line["level"] == "INFO"
    assert line["status"] == 200
    assert 1 <= line["round_trips"] <= line["upstream_calls"]
    assert line["duration_ms"] >= line["upstream_ms"] > 0
    assert line["time"].endswith("+00:00")
    assert answer.headers["X-Request-Id"] == "my-request-1"
    servers = (caller.stack.supabase_server, caller.stack.platform_server)
    sent_on = [received.request.headers.get("x-request-id") for server in servers for received in server.received]
    assert sent_on == ["my-request-1"] * line["upstream_calls"]


def test_a_request_id_that_could_break_a_line_is_replaced(caller: Caller) -> None:
    answer = caller.create(X_Request_Id='"; DROP\t')
    assert answer.headers["X-Request-Id"].isalnum()


def walk_every_path(callers: list[Caller]) -> list[str]:
    """Goes through success, polling, scan, healing and every kind of failure; all that was answered."""
    texts: list[str] = []

    def note(answer: requests.Response) -> None:
        texts.append(answer.text + repr(dict(answer.headers)))

    first, *rest = callers
    stack = first.stack
    for function in (CREATE, PROVISION):
        note(first.call(function))
        note(first.call(function, Authorization=f"Bearer {first.token}x"))
        note(first.call(function, Authorization=f"Bearer {stack.supabase.service_role_key}"))
    first.scan()
    note(first.create())
    stack.platform.revoke_tokens(first.row()["settings"]["wppAccountNumber"])
    note(first.create())
    stack.platform.invalidate_key(first.row()["settings"]["wppAccountNumber"])
    note(first.create())
    echo = json.dumps({"error": "Invalid token", "echo": stack.environment()}).encode()
    for caller, call in zip(rest, ("create", "token", "status", "qr", "webhook"), strict=True):
        for fault in (
            Fault(call, status=403, body=echo),
            Fault(call, status=500, body=echo),
            Fault(call, "reset"),
            Fault(call, status=200, body=b"<html>" + echo),
        ):
            stack.platform_server.inject(fault)
            note(caller.create())
            stack.platform_server.clear_faults()
    for call in ("auth.user", "rest.GET.profiles"):
        stack.supabase_server.inject(Fault(call, status=401, body=echo, times=4))
        note(first.create())
        stack.supabase_server.clear_faults()
    return texts


def test_no_secret_key_token_or_qr_is_in_a_log_line_or_a_wrong_place_of_an_answer(stack: Stack) -> None:
    env = stack.environment() | {"WPP_DEADLINE_SECONDS": str(DEADLINE_SECONDS), "LOG_LEVEL": "DEBUG"}
    with function_process(CREATE, env) as create, function_process(PROVISION, env) as provision:
        create.wait_until_ready()
        provision.wait_until_ready()
        callers = [new_caller(stack, {CREATE: create, PROVISION: provision}) for _ in range(6)]
        answers = "\n".join(walk_every_path(callers))
        logs = create.output() + provision.output()

    assert len(lines(logs)) > 30  # or the search below looked at nothing
    ours = {client.organization_id: client.api_key for client in stack.platform.clients}
    organizations = {caller.organization_id for caller in callers}
    keys = [key for organization, key in ours.items() if organization in organizations]
    platform_tokens = [row["settings"].get("wppJwtToken") for caller in callers for row in caller.rows()]
    sessions = [
        stack.platform.sessions[c.session] for c in stack.platform.clients if c.organization_id in organizations
    ]
    qrs = [qr for session in sessions for qr in session.qrs.values()]
    secrets = [
        stack.supabase.service_role_key,
        stack.supabase.anon_key,
        stack.supabase.jwt_secret,
        "wpp-local-secret",
        *keys,
        *[token for token in platform_tokens if token],
        *[caller.token for caller in callers],
    ]
    assert len(keys) >= 6
    assert qrs
    assert [secret for secret in secrets if secret in logs] == []
    assert [secret for secret in secrets if secret in answers] == []
    assert [qr for qr in qrs if qr in logs] == []
