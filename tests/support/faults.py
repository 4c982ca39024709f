"""What can go wrong with one upstream call, and what must hold once it no longer goes wrong."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from emulator.faults import Fault

if TYPE_CHECKING:
    import requests

    from tests.support.callers import Caller

ROWS = "messenger_integrations"
WRONG_TYPES = json.dumps({"apiKey": 5, "session": {}, "token": [], "status": 7, "id": 3, "qr": [1]}).encode()
REFUSAL = b'{"error": "Invalid token"}'

FAULTS = {
    "refused": Fault("", "refuse"),
    "reset before": Fault("", "reset"),
    "reset after": Fault("", "reset", after_effect=True),
    "timeout": Fault("", "hang"),
    "timeout after": Fault("", "hang", after_effect=True),
    "dripping": Fault("", "drip"),
    "401": Fault("", status=401, body=REFUSAL),
    "403": Fault("", status=403, body=b'{"error": "Invalid API key"}'),
    "404": Fault("", status=404),
    "409": Fault("", status=409, body=b'{"code": "40001"}'),
    "429": Fault("", status=429, headers={"Retry-After": "1"}),
    "500": Fault("", status=500),
    "500 after": Fault("", status=500, after_effect=True),
    "503": Fault("", status=503, body=b"<html>busy</html>"),
    "HTML": Fault("", status=200, body=b"<html>welcome</html>"),
    "empty": Fault("", status=200),
    "null": Fault("", status=200, body=b"null"),
    "wrong types": Fault("", status=200, body=WRONG_TYPES),
    "truncated": Fault("", "truncate"),
    "redirect": Fault("", status=302, headers={"Location": "http://127.0.0.1:1/"}),
}

TWINS = {
    "refused": "reset before",
    "dripping": "timeout after",
    "truncated": "reset after",
    "503": "500",
    "empty": "HTML",
}
"""Faults that look different on the wire only, each with the one that the functions cannot tell it from."""


def end_problems(caller: Caller, answer: requests.Response) -> list[str]:
    body: dict[str, Any] = answer.json()
    if answer.status_code != 200:
        return [f"the next call answered {answer.status_code} {body}"]
    return state_problems(caller, body["session"])


def state_problems(caller: Caller, session: str) -> list[str]:
    """What is wrong with the row and the client of a caller who was told that this is the session."""
    problems = []
    clients = caller.stack.platform.clients_of(caller.organization_id)
    rows = caller.rows()
    if len(clients) != 1:
        problems.append(f"{len(clients)} clients")
    if len(rows) != 1 or not rows[0]["is_active"]:
        problems.append(f"rows {rows}")
    elif rows[0]["settings"].get("wppApiKey") != clients[0].api_key or session != clients[0].session:
        problems.append("the row has another key or session than the client")
    restarts = [caller.stack.platform.sessions[client.session].restarts for client in clients]
    if any(restarts):
        problems.append(f"a running session was started again: {restarts}")
    return problems
