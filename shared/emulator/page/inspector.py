"""What the page's inspector shows: the calls of the functions through the gateway, each with its upstream calls."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emulator.stack import Stack
    from emulator.web import Received

_SHOWN = 30
_COUNTS = re.compile(r'desc="(\d+) calls, (\d+) round trips"')
_REPLAYED = ("content-type", "idempotency-key")


def calls(stack: Stack) -> list[dict[str, Any]]:
    """The newest first. Times are in milliseconds; those of upstream calls count from the arrival of the call."""
    functions = [
        r for r in list(stack.supabase_server.received) if r.call == "functions" and r.request.method == "POST"
    ]
    upstream: dict[str, list[tuple[str, Received]]] = {}
    for system, server in (("Supabase", stack.supabase_server), ("WPP Platform", stack.platform_server)):
        for received in list(server.received):
            upstream.setdefault(received.request.headers.get("x-request-id", ""), []).append((system, received))
    return [
        _shown(call, upstream.get(call.headers.get("X-Request-Id", "-"), [])) for call in reversed(functions[-_SHOWN:])
    ]


def _shown(call: Received, upstream: list[tuple[str, Received]]) -> dict[str, Any]:
    counts = _COUNTS.search(call.headers.get("Server-Timing", ""))
    return {
        "id": f"{call.at:.6f}",
        "at": call.at,
        "function": call.request.path.rsplit("/", 1)[-1],
        "status": call.status,
        "ms": round(call.took * 1000, 1),
        "calls": int(counts[1]) if counts else None,
        "roundTrips": int(counts[2]) if counts else None,
        "body": call.request.body.decode(errors="replace"),
        "headers": {name: value for name, value in call.request.headers.items() if name in _REPLAYED},
        "answer": _readable(call.answer),
        "upstream": [
            {
                "system": system,
                "call": r.call,
                "method": r.request.method,
                "path": r.request.path,
                "status": r.status,
                "start": round((r.at - call.at) * 1000, 1),
                "ms": round(r.took * 1000, 1),
            }
            for system, r in sorted(upstream, key=lambda found: found[1].at)
        ],
    }


def _readable(answer: bytes) -> str:
    try:
        return json.dumps(json.loads(answer), indent=2, ensure_ascii=False)
    except ValueError:
        return answer.decode(errors="replace")
