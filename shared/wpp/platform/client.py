"""The calls of WPP Platform: `create_client` with WPP_SECRET, everything else as one organization's client.

The port of the edge functions' `_shared/wpp.ts`. Source of the shapes: the platform's contract as the product has it, and what
was seen of it in production.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from wpp.errors import SessionGone
from wpp.http.messages import Request
from wpp.http.upstream import malformed, refusal
from wpp.platform.state import SessionState, State, read_qr, read_state
from wpp.platform.token import is_header_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from wpp.http.messages import Response
    from wpp.http.upstream import Upstream
    from wpp.platform.token import TokenSource
    from wpp.secret import Secret

CREATE_TIMEOUT = 15.0
"""Seconds for one `create`: the platform prepares a whole client in it."""
_DOT_SEGMENTS = (".", "..")  # an address that holds one is shortened on the way: the call would be another one
# Quoted they are safe with us, but a proxy in front of the platform may decode them before it routes.
_OF_OTHERS = {
    "message",
    "path",
    "statusCode",
    "timestamp",
}  # in the JSON 404s of Kong, Spring, Fastify and API gateways
_SEPARATORS = frozenset("/\\?#%")


class Credentials(NamedTuple):
    """What an organization reaches its client with."""

    api_key: str
    session: str

    def __repr__(self) -> str:
        return f"Credentials(***, {self.session!r})"


def create_client(
    base_url: str,
    wpp_secret: Secret,
    organization_id: str,
    *,
    upstream: Upstream,
    idempotency_key: str,
    timeout: float = CREATE_TIMEOUT,
    fence: Callable[[], None] | None = None,
) -> Credentials:
    """Has the platform create the client for `organization_id`, or name the one it created before.

    Sent once: a caller that repeats it does so under the same idempotency key. `timeout` is in seconds, and
    `fence`, here and below, is that of the request.
    Raises UpstreamError, DeadlinePassed. A refused secret is UpstreamRefused: our fault, never the caller's.
    """

    def request(secret: str) -> Request:
        return Request(
            "platform",
            "create",
            "POST",
            f"{base_url}/api/integrations/wpp/create",
            {"Authorization": f"Bearer {secret}", "Idempotency-Key": idempotency_key},
            {"organizationId": organization_id},
            timeout=timeout,
            fence=fence,
        )

    response = upstream.send_with(wpp_secret, request)
    if response.status in (401, 403):
        raise refusal("platform", "create", response, "is WPP_SECRET right?")
    body = _object("create", response)
    api_key, session = body.get("apiKey"), body.get("session")
    if not (is_header_text(api_key) and is_session(session)):
        raise malformed("platform", "create", "apiKey and session", response)
    # Its `status` is not used: the live state is read a moment later, and decides.
    return Credentials(str(api_key), str(session))


def is_session(value: Any) -> bool:
    """Whether it can be a session's name: it becomes part of an address, where some texts would make another call of it."""
    return is_header_text(value) and value not in _DOT_SEGMENTS and not _SEPARATORS.intersection(value)


class WppClient:
    """One organization's client: every call is about its own session. Safe to use from several threads."""

    def __init__(self, base_url: str, credentials: Credentials, upstream: Upstream, tokens: TokenSource) -> None:
        self.credentials = credentials
        self.tokens = tokens
        self._base_url = base_url
        self._upstream = upstream
        self._path = _segment(credentials.session)

    def start(self, fence: Callable[[], None] | None = None) -> SessionState:
        """`POST /api/accounts/start`. Sent once, but for a refused token: started twice, a session throws its QR away.

        This, `status` and `stop` raise SessionGone if the platform does not know the session.
        """
        response = self._session_call(
            "start", "POST", "/api/accounts/start", {"number": self.credentials.session}, fence=fence
        )
        body = _object("start", response)
        state = read_state(body)
        qr = read_qr(body)
        if qr is not None:
            return SessionState(State.QR_REQUIRED, qr)
        if state is None:
            raise malformed("platform", "start", "a status or a QR", response)
        return state

    def status(self, patience: float | None = None) -> SessionState:
        """`GET /api/accounts/{session}/status`. A state that cannot be read is an error, never "ended"."""
        response = self._session_call("status", "GET", f"/api/accounts/{self._path}/status", patience=patience)
        state = read_state(_object("status", response))
        if state is None:
            raise malformed("platform", "status", "a status", response)
        return state

    def qr(self, patience: float | None = None) -> str | None:
        """`GET /api/accounts/{session}/qr`: the QR as it came, or None while the platform has none yet."""
        response = self._send("qr", "GET", f"/api/accounts/{self._path}/qr", patience=patience)
        return None if response.status == 404 else read_qr(_object("qr", response))

    def stop(
        self, patience: float | None = None, *, once: bool = False, fence: Callable[[], None] | None = None
    ) -> None:
        """`POST /internal/session/{session}/stop`: logs the phone out. With `once` it is not repeated: for somebody who does not
        know what the session will be by then."""
        path = f"/internal/session/{self._path}/stop"
        self._session_call("stop", "POST", path, {}, repeatable=not once, patience=patience, fence=fence)

    def webhook(self, url: str, patience: float | None = None) -> None:
        """`POST /internal/session/{session}/webhook`: where the events of this session go."""
        path = f"/internal/session/{self._path}/webhook"
        self._call("webhook", "POST", path, {"url": url}, repeatable=True, patience=patience)

    def send_text(self, to: str, text: str) -> str:
        """The task id. `to` is a phone number or chat id, for this and the other messages."""
        return self._message("text", {"type": "text", "to": to, "text": text})

    def send_image(self, to: str, url: str, caption: str = "") -> str:
        return self._message("image", {"type": "image", "to": to, "url": url, "caption": caption})

    def send_file(self, to: str, url: str, filename: str) -> str:
        """Documents, and video and audio too."""
        return self._message("file", {"type": "file", "to": to, "url": url, "filename": filename})

    def send_location(self, to: str, lat: float, lng: float, name: str = "", address: str = "") -> str:
        place = {"lat": lat, "lng": lng, "name": name, "address": address}
        return self._message("location", {"account": self.credentials.session, "to": to, **place})

    def react(self, to: str, wa_message_id: str, emoji: str) -> str:
        return self._message("react", {"to": to, "waMessageId": wa_message_id, "emoji": emoji})

    def delete_message(self, task_id: str) -> None:
        self._call("delete", "DELETE", f"/api/messages/{_segment(task_id)}", repeatable=True)

    def _message(self, kind: str, payload: dict[str, Any]) -> str:
        response = self._call(kind, "POST", f"/api/messages/{kind}", payload)
        body = _object(kind, response)
        if body.get("status") == "error":
            raise refusal("platform", kind, response, "the message was not accepted")
        task_id = body.get("taskId") or body.get("id")
        if not is_header_text(task_id):
            raise malformed("platform", kind, "a taskId", response)
        return str(task_id)

    def _session_call(self, name: str, method: str, path: str, payload: Any = None, **how: Any) -> Response:
        response = self._send(name, method, path, payload, **how)
        if _is_session_gone(response):
            raise SessionGone("platform", name, "does not know the session", upstream_status=response.status)
        return _require_success(name, response)

    def _call(self, name: str, method: str, path: str, payload: Any = None, **how: Any) -> Response:
        """The 2xx response of an authorized call."""
        return _require_success(name, self._send(name, method, path, payload, **how))

    def _send(
        self,
        name: str,
        method: str,
        path: str,
        payload: Any = None,
        *,
        repeatable: bool = False,
        patience: float | None = None,
        fence: Callable[[], None] | None = None,
    ) -> Response:
        """An authorized call. A refused token is renewed once. `patience` is in seconds."""

        def request(token: str) -> Request:
            return Request(
                "platform",
                name,
                method,
                self._base_url + path,
                {"Authorization": f"Bearer {token}"},
                payload,
                repeatable=repeatable or method == "GET",
                patience=patience,
                fence=fence,
            )

        return self._upstream.send_with(self.tokens, request)


def _is_session_gone(response: Response) -> bool:
    """Whether a 404 is the platform's own, `{"error": …}`. Those of proxies and web frameworks are HTML or say more."""
    body = response.json
    return (
        response.status == 404
        and isinstance(body, dict)
        and isinstance(body.get("error"), str)
        and not body.keys() & _OF_OTHERS
    )


def _require_success(name: str, response: Response) -> Response:
    if not 200 <= response.status < 300:
        raise refusal("platform", name, response)
    return response


def _object(name: str, response: Response) -> dict[str, Any]:
    """The JSON object of a 2xx response."""
    _require_success(name, response)
    if not isinstance(response.json, dict):
        raise malformed("platform", name, "a JSON object", response)
    return response.json


def _segment(name: str) -> str:
    """One segment of an address. Raises ValueError for the two names that no quoting keeps."""
    if name in _DOT_SEGMENTS:
        raise ValueError(f"{name!r} cannot be a segment of an address")
    return quote(name, safe="")
