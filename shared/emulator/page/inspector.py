"""What the page's inspector shows: the calls of the functions through the gateway, each with its upstream calls."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emulator.stack import Stack
    from emulator.web import Received

_SHOWN = 150
_COUNTS = re.compile(r'desc="(\d+) calls, (\d+) round trips"')
_REPLAYED = ("content-type", "idempotency-key")
_BORING = ("host", "user-agent", "accept-encoding", "connection", "content-length", "accept")


def calls(stack: Stack) -> list[dict[str, Any]]:
    """The newest first, in short. Times are in milliseconds."""
    return [_summary(received) for received in reversed(_of_functions(stack)[-_SHOWN:])]


def call(stack: Stack, call_id: str) -> dict[str, Any] | None:
    """One call with all that belongs to it. Times of upstream calls count from the arrival of the call."""
    found = next((received for received in _of_functions(stack) if _id(received) == call_id), None)
    if found is None:
        return None
    request_id = found.headers.get("X-Request-Id", "-")
    upstream = [
        (system, received)
        for system, server in (("supabase", stack.supabase_server), ("platform", stack.platform_server))
        for received in list(server.received)
        if received.request.headers.get("x-request-id") == request_id and received.call != "functions"
    ]
    return {
        **_summary(found),
        "body": found.request.body.decode(errors="replace"),
        "headers": {name: value for name, value in found.request.headers.items() if name in _REPLAYED},
        "answer": _readable(found.answer),
        "upstream": [_upstream(system, r, found.at) for system, r in sorted(upstream, key=lambda each: each[1].at)],
    }


def _of_functions(stack: Stack) -> list[Received]:
    return [r for r in list(stack.supabase_server.received) if r.call == "functions" and r.request.method == "POST"]


def _id(received: Received) -> str:
    return f"{received.at:.6f}"


def _summary(received: Received) -> dict[str, Any]:
    counts = _COUNTS.search(received.headers.get("Server-Timing", ""))
    sent, answer = received.request.json(), _object(received.answer)
    return {
        "id": _id(received),
        "at": received.at,
        "function": received.request.path.rsplit("/", 1)[-1],
        "status": received.status,
        "result": answer.get("code") or answer.get("status"),
        "number": answer.get("integration_id") or (sent.get("integration_id") if isinstance(sent, dict) else None),
        "ms": round(received.took * 1000, 1),
        "calls": int(counts[1]) if counts else None,
        "roundTrips": int(counts[2]) if counts else None,
    }


def _upstream(system: str, received: Received, since: float) -> dict[str, Any]:
    request = received.request
    target = request.path + (f"?{request.query}" if request.query else "")
    return {
        "system": system,
        "call": received.call,
        "status": received.status,
        "start": round((received.at - since) * 1000, 1),
        "ms": round(received.took * 1000, 1),
        "request": _message(f"{request.method} {target}", request.headers, request.body),
        "response": _message(str(received.status or "no answer"), received.headers, received.answer),
    }


def _message(first: str, headers: Mapping[str, str], body: bytes) -> str:
    lines = [f"{name}: {value}" for name, value in headers.items() if name.lower() not in _BORING]
    return "\n".join([first, *lines, "", _readable(body)]).strip()


def _object(answer: bytes) -> dict[str, Any]:
    try:
        found = json.loads(answer)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _readable(answer: bytes) -> str:
    try:
        return json.dumps(json.loads(answer), indent=2, ensure_ascii=False)
    except ValueError:
        return answer.decode(errors="replace")
