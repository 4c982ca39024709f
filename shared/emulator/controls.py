"""`/_emulator/<name>` on both emulated systems: what tests and scripts have them do and tell, over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emulator.faults import Fault
from emulator.messages import Request, Response, json_response

if TYPE_CHECKING:
    from emulator.web import Received, Server


def control(server: Server, request: Request) -> Response:
    name = request.path.removeprefix("/_emulator/")
    body = request.json() if request.body else {}
    match request.method, name:
        case "GET", "received":
            return json_response(200, [_described(received) for received in list(server.received)])
        case "DELETE", "faults":
            server.clear_faults()
        case _, "faults":
            server.inject(Fault(**{**body, "body": body.get("body", "").encode()}))
        case _, "latency":
            server.latency = float(body["seconds"])
        case _, "clock":
            server.clock.advance(float(body["advance"]))
        case _, "clear":
            server.clear()
        case _:
            return _of_the_application(server, name, body)
    return json_response(200, {})


def _of_the_application(server: Server, name: str, body: Any) -> Response:
    try:
        answer = server.application.control(name, body)
    except KeyError as missing:  # a field of the body, or what it names
        return json_response(404, {"error": f"not found: {missing.args[0]}"})
    if answer is None:
        return json_response(404, {"error": f"unknown control: {name!r}"})
    return json_response(200, answer)


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
