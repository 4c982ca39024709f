"""`/_emulator/<name>` on both emulated systems: what tests and scripts have them do and tell, over HTTP."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from emulator.faults import Fault
from emulator.messages import Request, Response, json_response

if TYPE_CHECKING:
    from emulator.web import Received, Server


def control(server: Server, request: Request) -> Response:
    name = request.path.removeprefix("/_emulator/")
    try:
        return _carried_out(server, request.method, name, request.json() if request.body else {})
    except KeyError as missing:  # a field of the body, or what it names
        return json_response(404, {"error": f"not found: {missing.args[0]}"})


def _carried_out(server: Server, method: str, name: str, body: Any) -> Response:
    """Raises KeyError with the name of what is not there."""
    match method, name:
        case "GET", "received":
            return json_response(200, [_described(received) for received in list(server.received)])
        case "DELETE", "faults":
            server.clear_faults()
        case _, "faults":
            server.inject(_fault(body))
        case _, "latency":
            server.latency = float(body["seconds"])
        case _, "clock":
            server.clock.advance(float(body["advance"]))
        case _, "clear":
            server.clear()
        case _:
            answer = server.application.control(name, body)
            if answer is None:
                return json_response(404, {"error": f"unknown control: {name!r}"})
            return json_response(200, answer)
    return json_response(200, {})


def _fault(body: dict[str, Any]) -> Fault:
    unknown = body.keys() - {known.name for known in fields(Fault)}
    if unknown:
        raise KeyError(min(unknown))
    return Fault(**{**body, "call": body["call"], "body": body.get("body", "").encode()})


def _described(received: Received) -> dict[str, Any]:
    request = received.request
    return {
        "call": received.call,
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "headers": dict(request.headers),
        "body": request.body.decode(errors="replace"),
        "at": received.at,
        "status": received.status,
        "answer": received.answer.decode(errors="replace"),
    }
