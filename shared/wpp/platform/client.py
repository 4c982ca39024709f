"""The calls of WPP Platform. `create_client` is made with WPP_SECRET, all else by one organization's client.

Source of the shapes: the platform's contract as the product has it, and what was seen of it in production.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from wpp.errors import KeyRefused
from wpp.http.messages import Request
from wpp.http.upstream import malformed, refusal
from wpp.platform.state import SessionState, State, read_qr, read_state
from wpp.platform.token import fresh_token

if TYPE_CHECKING:
    from wpp.http.messages import Response
    from wpp.http.upstream import Upstream
    from wpp.platform.memory import Recent
    from wpp.platform.token import AccessToken
    from wpp.secret import Secret

CREATE_TIMEOUT = 15.0
"""Seconds for one `create`: the platform prepares a whole client in it."""
_MAX_TEXT = 4096  # characters of a key, session or token; more is no such thing
_NO_SEGMENTS = (".", "..")  # an address that holds these is shortened on the way: the call would be another one
# Quoted they are safe with us, but a proxy in front of the platform may decode them before it looks where a call goes.
_SEPARATORS = frozenset("/\\?#%")


@dataclass
class Credentials:
    """What an organization reaches its client with."""

    api_key: str = field(repr=False)
    session: str


def create_client(
    base_url: str,
    wpp_secret: Secret,
    organization_id: str,
    *,
    upstream: Upstream,
    idempotency_key: str,
    timeout: float = CREATE_TIMEOUT,
) -> Credentials:
    """Has the platform make the client for `organization_id`, or name the one it made before.

    Sent once: a caller that repeats it does so under the same idempotency key. `timeout` is in seconds.
    Raises UpstreamError, DeadlinePassed. A refused secret is UpstreamRefused: our fault, never the caller's.
    """
    while True:
        secret = wpp_secret.value()
        request = Request(
            "platform",
            "create",
            "POST",
            f"{base_url}/api/integrations/wpp/create",
            {"Authorization": f"Bearer {secret}", "Idempotency-Key": idempotency_key},
            {"organizationId": organization_id},
            timeout=timeout,
        )
        response = upstream.send(request)
        if response.status not in (401, 403):
            break
        if not wpp_secret.renewed(secret):
            raise refusal("platform", "create", response, "is WPP_SECRET right?")
    body = _object("create", response)
    api_key, session = body.get("apiKey"), body.get("session")
    if not (_is_text(api_key) and is_session(session)):
        raise malformed("platform", "create", "apiKey and session", response)
    # Its `status` is not used: the live state is read a moment later, and decides.
    return Credentials(str(api_key), str(session))


def is_session(value: Any) -> bool:
    """Whether it can be a session's name: those stand in addresses, where some texts would make another call of it."""
    return _is_text(value) and value not in _NO_SEGMENTS and not _SEPARATORS.intersection(value)


class WppClient:
    """One organization's client: every call on its own session. Safe to use from several threads."""

    def __init__(
        self,
        base_url: str,
        credentials: Credentials,
        upstream: Upstream,
        memory: Recent[AccessToken],
        stored: AccessToken | None = None,
    ) -> None:
        self.credentials = credentials
        self._base_url = base_url
        self._upstream = upstream
        self._memory = memory
        self._stored = stored
        self.refused: str | None = None
        """The text of the token that the platform last refused."""
        self._lock = threading.Lock()
        self._path = _segment(credentials.session)

    def unsaved_token(self) -> AccessToken | None:
        """The token in use, where the stored row has not got it yet."""
        token = self._memory.get(self.credentials.api_key)
        return token if token and (not self._stored or token.text != self._stored.text) else None

    def token_saved(self, token: AccessToken) -> None:
        self._stored = token

    def has_token(self) -> bool:
        return self._usable() is not None

    def token(self, refused: str | None = None) -> AccessToken:
        """`POST /auth/token`, unless a usable token other than `refused` is at hand. One fetch serves all threads.

        Raises KeyRefused where the platform does not take the API key, UpstreamError, DeadlinePassed.
        """
        with self._lock:
            self.refused = refused or self.refused
            token = self._usable()
            if token is None or token.text == refused:
                token = self._fetch_token()
                self._memory.put(self.credentials.api_key, token)
            return token

    def start(self) -> SessionState:
        """`POST /api/accounts/start`. Sent once: started twice, a session throws its QR away."""
        response = self._call("start", "POST", "/api/accounts/start", {"number": self.credentials.session})
        body = _object("start", response)
        qr, said = read_qr(body), read_state(body)
        if qr is not None:
            return SessionState(State.QR_REQUIRED, qr)
        if said is None:
            raise malformed("platform", "start", "a status or a QR", response)
        return said

    def status(self) -> SessionState:
        """`GET /api/accounts/{session}/status`. A state that cannot be read is an error, never `offline`."""
        response = self._call("status", "GET", f"/api/accounts/{self._path}/status")
        said = read_state(_object("status", response))
        if said is None:
            raise malformed("platform", "status", "a status", response)
        return said

    def qr(self, patience: float | None = None) -> str | None:
        """`GET /api/accounts/{session}/qr`: the QR as it came, None while there is none."""
        response = self._call("qr", "GET", f"/api/accounts/{self._path}/qr", none_at_404=True, patience=patience)
        return None if response.status == 404 else read_qr(_object("qr", response))

    def stop(self, patience: float | None = None) -> None:
        """`POST /internal/session/{session}/stop`: logs the phone out."""
        path = f"/internal/session/{self._path}/stop"
        self._call("stop", "POST", path, {}, repeatable=True, patience=patience)

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
        if not _is_text(task_id):
            raise malformed("platform", kind, "a taskId", response)
        return str(task_id)

    def _call(
        self,
        call: str,
        method: str,
        path: str,
        payload: dict[str, Any] | None = None,
        *,
        repeatable: bool = False,
        none_at_404: bool = False,
        patience: float | None = None,
    ) -> Response:
        """An authorized call: its 2xx response. A refused token is renewed once. `patience` is in seconds."""
        token = self.token()
        response = self._authorized(token, call, method, path, payload, repeatable, patience)
        if response.status in (401, 403):
            token = self.token(refused=token.text)
            response = self._authorized(token, call, method, path, payload, repeatable, patience)
        if not 200 <= response.status < 300 and not (none_at_404 and response.status == 404):
            raise refusal("platform", call, response)
        return response

    def _authorized(
        self,
        token: AccessToken,
        call: str,
        method: str,
        path: str,
        payload: dict[str, Any] | None,
        repeatable: bool,
        patience: float | None,
    ) -> Response:
        headers = {"Authorization": f"Bearer {token.text}"}
        url, repeatable = self._base_url + path, repeatable or method == "GET"
        request = Request("platform", call, method, url, headers, payload, repeatable=repeatable, patience=patience)
        return self._upstream.send(request)

    def _usable(self) -> AccessToken | None:
        """The remembered token before the stored one: other code of the product may have stored an older one."""
        now = self._upstream.clock.now()
        for token in (self._memory.get(self.credentials.api_key), self._stored):
            if token is not None and token.usable(now):
                return token
        return None

    def _fetch_token(self) -> AccessToken:
        url, payload = f"{self._base_url}/auth/token", {"apiKey": self.credentials.api_key}
        response = self._upstream.send(Request("platform", "token", "POST", url, payload=payload, repeatable=True))
        if response.status in (401, 403) and _is_about_the_key(response):
            raise KeyRefused("platform", "token", "refuses the organization's API key", upstream_status=response.status)
        body = _object("token", response)
        text = body.get("token")
        if not _is_text(text):
            raise malformed("platform", "token", "a token", response)
        return fresh_token(str(text), body.get("expiresIn"), self._upstream.clock.now())


def _object(call: str, response: Response) -> dict[str, Any]:
    """The JSON object of a 2xx response."""
    if not 200 <= response.status < 300:
        raise refusal("platform", call, response)
    if not isinstance(response.json, dict):
        raise malformed("platform", call, "a JSON object", response)
    return response.json


def _segment(name: str) -> str:
    """One segment of an address. Raises ValueError for the two names that no quoting keeps."""
    if name in _NO_SEGMENTS:
        raise ValueError(f"{name!r} cannot stand in an address")
    return quote(name, safe="")


def _is_about_the_key(response: Response) -> bool:
    """Whether the platform itself refuses the key. A proxy's 403 must not have a good key replaced."""
    said = response.json.get("error") if isinstance(response.json, dict) else None
    return isinstance(said, str) and "invalid api key" in said.lower()


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _MAX_TEXT and value.isprintable() and value.isascii()
