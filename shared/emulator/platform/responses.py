"""The platform's wire format: routes, bodies and statuses."""

from __future__ import annotations

import secrets
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from emulator.messages import Request, Response, json_response
from emulator.platform.controls import ACTS
from emulator.platform.models import Platform

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.clock import Clock
    from emulator.platform.sessions import Session

_INVALID_TOKEN = json_response(401, {"error": "Invalid token"})
_MESSAGES = ("text", "image", "file", "location", "react")


class PlatformApp(Platform):
    def __init__(self, clock: Clock, wpp_secret: str = "wpp-local-secret") -> None:
        super().__init__(clock)
        self.wpp_secret = wpp_secret

    def route(self, request: Request) -> tuple[str, Callable[[], Response]]:
        parts = request.path.strip("/").split("/")
        match (request.method, *parts):
            case ("POST", "api", "integrations", "wpp", "create"):
                return "create", lambda: self._create(request)
            case ("POST", "auth", "token"):
                return "token", lambda: self._token(request)
            case ("POST", "api", "accounts", "start"):
                number = str(_object(request).get("number"))
                return "start", lambda: self._authorized(request, number, self._start)
            case ("GET", "api", "accounts", session, "status"):
                return "status", lambda: self._authorized(request, session, self._status)
            case ("GET", "api", "accounts", session, "qr"):
                return "qr", lambda: self._authorized(request, session, self._qr)
            case ("POST", "internal", "session", session, "stop"):
                return "stop", lambda: self._authorized(request, session, self._stop)
            case ("POST", "internal", "session", session, "webhook"):
                return "webhook", lambda: self._authorized(request, session, lambda s: self._webhook(s, request))
            case ("POST", "api", "messages", kind) if kind in _MESSAGES:
                return kind, lambda: self._authorized(request, None, lambda s: self._message(s, kind, request))
            case ("DELETE", "api", "messages", task_id):
                return "delete", lambda: self._authorized(request, None, lambda _: self._delete(task_id))
        return "unknown", lambda: json_response(404, {"error": "Not found"})

    def control(self, name: str, body: dict[str, Any]) -> Any:
        if name in ACTS:
            ACTS[name](self, body)
            return {}
        if name == "settings":
            for setting, value in body.items():
                if setting not in asdict(self.settings):
                    raise KeyError(setting)
                setattr(self.settings, setting, value)
            return asdict(self.settings)
        if name == "state":
            return self._state()
        return None

    def _state(self) -> dict[str, Any]:
        """All that is there and was counted, for tests and scripts."""
        with self.lock:
            return {
                "clients": [asdict(c) for c in self.clients],
                "sessions": [{**asdict(s), "state": self.state(s)} for s in self.sessions.values()],
                "creations": [asdict(c) for c in self.creations],
            }

    def _create(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {self.wpp_secret}":
            return _INVALID_TOKEN
        organization_id = _object(request).get("organizationId")
        if not isinstance(organization_id, str) or not organization_id:
            return json_response(400, {"error": "organizationId is required"})
        client = self.create(organization_id, request.headers.get("idempotency-key"))
        return json_response(
            200, {"apiKey": client.api_key, "session": client.session, self.settings.state_field: "starting"}
        )

    def _token(self, request: Request) -> Response:
        token = self.token(str(_object(request).get("apiKey")))
        if token is None:
            return json_response(self.settings.refused_key_status, {"error": "Invalid API key"})
        lifetime = {"expiresIn": self.settings.token_lifetime} if self.settings.announce_expires_in else {}
        return json_response(200, {"token": token, **lifetime})

    def _authorized(self, request: Request, name: str | None, act: Callable[[Session], Response]) -> Response:
        session = self.session_of(request.headers.get("authorization", "").removeprefix("Bearer "))
        if session is None:
            return _INVALID_TOKEN
        if session.is_gone or name not in (None, session.name):
            return json_response(404, {"error": "Session not found"})
        return act(session)

    def _start(self, session: Session) -> Response:
        self.start(session)
        qr = self.qr(session) if self.settings.start_answers_qr else None
        if qr is not None:
            return json_response(200, {"qr": qr})
        state = "connected" if self.is_connected(session) else "starting"
        return json_response(200, {self.settings.state_field: state})

    def _status(self, session: Session) -> Response:
        return json_response(200, {self.settings.state_field: self.settings.status_override or self.state(session)})

    def _qr(self, session: Session) -> Response:
        qr = self.qr(session)
        name = self.settings.qr_field
        return json_response(200, {"data": {"qr": qr}} if name == "data.qr" else {name: qr})

    def _stop(self, session: Session) -> Response:
        self.stop(session)
        return json_response(200, {"status": "offline"})

    def _webhook(self, session: Session, request: Request) -> Response:
        url = _object(request).get("url")
        if not isinstance(url, str) or not url.startswith(("http://", "https://")):
            return json_response(400, {"error": "url must be an address"})
        self.register_webhook(session, url)
        return json_response(200, {"ok": True})

    def _message(self, session: Session, kind: str, request: Request) -> Response:
        body = _object(request)
        if not self.is_connected(session):
            return json_response(409, {"error": "Session not connected"})
        if not body.get("to"):
            return json_response(200, {"status": "error", "message": "to is required"})
        task_id = f"task_{secrets.token_hex(6)}"
        self.messages[task_id] = {"kind": kind, "session": session.name, **body}
        return json_response(202, {"taskId": task_id, "status": "queued"})

    def _delete(self, task_id: str) -> Response:
        if self.messages.pop(task_id, None) is None:
            return json_response(404, {"error": "Task not found"})
        return json_response(200, {"ok": True})


def _object(request: Request) -> dict[str, Any]:
    body = request.json()
    return body if isinstance(body, dict) else {}
