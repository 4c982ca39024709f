"""The platform's state: clients, their keys and tokens, and a WhatsApp session each."""

from __future__ import annotations

import base64
import secrets
import threading
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from jose import JWTError, jwt

if TYPE_CHECKING:
    from emulator.clock import Clock


@dataclass
class Settings:
    """How this platform behaves; the defaults are what was observed in production."""

    create_starts: bool = True
    """Whether `create` starts the session; it answers `starting` in any case."""
    one_client_per_organization: bool = True
    honours_idempotency_key: bool = True
    new_session_with_new_key: bool = False
    """Whether a replaced key comes with another session."""
    key_activation_delay: float = 0.0
    token_lifetime: float = 900.0
    announce_expires_in: bool = False
    refused_key_status: int = 403
    qr_delay: float = 1.5
    qr_lifetime: float = 20.0
    qr_field: str = "qr"
    qr_as_png: bool = False
    state_field: str = "status"
    stuck_starting: bool = False
    lost_for_good: bool = False
    """Whether a session that the platform has lost stays lost, however often `create` is asked."""
    auto_connect: bool = False
    status_override: str = ""
    start_answers_qr: bool = False

    def reset(self) -> None:
        for setting in fields(self):
            setattr(self, setting.name, setting.default)


@dataclass
class Session:
    name: str
    started_at: float | None = None
    connected: bool = False
    restarts: int = 0
    """How often it was started while it ran, which invalidates its QR."""
    starts: int = 0
    webhook: str | None = None
    webhooks: int = 0
    """How often its webhook was registered."""
    word: str | None = None
    """What it reports instead of its state, until it is started."""
    is_stuck: bool = False
    """Whether it stays before its QR until it is stopped and started again."""
    is_gone: bool = False
    """Whether the platform has lost it, until `create` is asked for its client again."""
    unlinked_phones: int = 0
    """How often it was stopped while a phone was linked to it."""
    qrs: dict[int, str] = field(default_factory=dict)
    tokens_valid_from: float = 0.0
    stops: int = 0


@dataclass
class Client:
    organization_id: str
    api_key: str
    session: str
    issued_at: float
    key_valid: bool = True


@dataclass(frozen=True)
class Creation:
    organization_id: str
    idempotency_key: str | None
    api_key: str
    session: str


class Platform:
    """Behind one lock, as behind the transactions of the platform's database."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.settings = Settings()
        self.lock = threading.RLock()
        self.clients: list[Client] = []
        self.sessions: dict[str, Session] = {}
        self.creations: list[Creation] = []
        self.messages: dict[str, dict[str, object]] = {}
        self._by_idempotency_key: dict[str, Client] = {}
        self._signing_secret = secrets.token_hex(32)

    def create(self, organization_id: str, idempotency_key: str | None) -> Client:
        with self.lock:
            client = self._known(organization_id, idempotency_key) or self._new(organization_id)
            if idempotency_key is not None:
                self._by_idempotency_key[idempotency_key] = client
            self.creations.append(Creation(organization_id, idempotency_key, client.api_key, client.session))
            self.sessions[client.session].is_gone = self.settings.lost_for_good
            if self.settings.create_starts and self.sessions[client.session].started_at is None:
                self._begin(self.sessions[client.session])
            return client

    def _known(self, organization_id: str, idempotency_key: str | None) -> Client | None:
        candidates = []
        if self.settings.honours_idempotency_key and idempotency_key is not None:
            candidates += [self._by_idempotency_key.get(idempotency_key)]
        if self.settings.one_client_per_organization:
            candidates += [c for c in self.clients if c.organization_id == organization_id]
        return next((c for c in candidates if c is not None and c.key_valid), None)

    def _new(self, organization_id: str) -> Client:
        previous = next((c for c in reversed(self.clients) if c.organization_id == organization_id), None)
        keeps_session = (
            previous and self.settings.one_client_per_organization and not self.settings.new_session_with_new_key
        )
        session = previous.session if previous and keeps_session else f"client_{secrets.token_hex(6)}"
        client = Client(organization_id, f"key_{secrets.token_hex(16)}", session, self.clock.now())
        self.clients.append(client)
        self.sessions.setdefault(session, Session(session))
        return client

    def clients_of(self, organization_id: str) -> list[Client]:
        with self.lock:
            return [c for c in self.clients if c.organization_id == organization_id]

    def token(self, api_key: str) -> str | None:
        """A token for the key's session, None if the key is not accepted."""
        with self.lock:
            client = next((c for c in self.clients if c.api_key == api_key and c.key_valid), None)
            now = self.clock.now()
            if client is None or now - client.issued_at < self.settings.key_activation_delay:
                return None
            claims = {"session": client.session, "iat": now, "exp": now + self.settings.token_lifetime}
            return str(jwt.encode({**claims, "jti": secrets.token_hex(4)}, self._signing_secret, "HS256"))

    def session_of(self, token: str) -> Session | None:
        """The session that a token is for, None if the token is not accepted, or no longer."""
        try:
            unchecked = {"verify_exp": False, "verify_iat": False}
            claims = jwt.decode(token, self._signing_secret, algorithms=["HS256"], options=unchecked)
        except JWTError:
            return None
        with self.lock:
            session = self.sessions.get(claims["session"])
            if session is None:  # forgotten since
                return None
            alive = session.tokens_valid_from <= claims["iat"] and self.clock.now() < claims["exp"]
            return session if alive else None

    def start(self, session: Session) -> None:
        with self.lock:
            if session.connected:
                return
            if session.started_at is not None:
                session.restarts += 1
            self._begin(session)

    def _begin(self, session: Session) -> None:
        session.starts += 1
        session.word = None
        session.started_at = self.clock.now()
        session.qrs = {}

    def state(self, session: Session) -> str:
        with self.lock:
            if session.word is not None:
                return session.word
            if session.connected:
                return "connected"
            if session.started_at is None:
                return "offline"
            if self.settings.stuck_starting or session.is_stuck or self._running_for(session) < self.settings.qr_delay:
                return "starting"
            if self.settings.auto_connect:
                session.connected = True
                return "connected"
            return "qr_required"

    def qr(self, session: Session) -> str | None:
        with self.lock:
            if self.state(session) != "qr_required":
                return None
            number = int((self._running_for(session) - self.settings.qr_delay) / self.settings.qr_lifetime)
            return session.qrs.setdefault(number, self._draw())

    def _running_for(self, session: Session) -> float:
        return self.clock.now() - (session.started_at or 0.0)

    def _draw(self) -> str:
        parts = [base64.b64encode(secrets.token_bytes(32)).decode() for _ in range(3)]
        text = "2@" + ",".join(parts)
        if not self.settings.qr_as_png:
            return text
        import segno

        return str(segno.make(text).png_data_uri(scale=4))

    # What a person does, or a test in their place.

    def scan(self, session: str) -> None:
        """A phone scans the QR."""
        with self.lock:
            self.sessions[session].connected = True

    def stop(self, session: Session) -> None:
        with self.lock:
            session.stops += 1
            session.unlinked_phones += session.connected
            session.is_stuck = False
            self.disconnect(session.name)

    def report(self, session: str, word: str | None) -> None:
        """The session reports this word instead of its state, until it is started; None ends it."""
        with self.lock:
            self.sessions[session].word = word

    def stick(self, session: str) -> None:
        """The session stays before its QR until it is stopped and started again."""
        with self.lock:
            self.sessions[session].is_stuck = True

    def lose(self, session: str) -> None:
        """The platform does not know the session any more, until `create` is asked for its client again."""
        with self.lock:
            self.sessions[session].is_gone = True

    def disconnect(self, session: str) -> None:
        """The session is logged out: from the phone, or by `stop`."""
        with self.lock:
            self.sessions[session].connected = False
            self.sessions[session].started_at = None
            self.sessions[session].qrs = {}

    def invalidate_key(self, session: str) -> None:
        """From now on the client's key is refused; the next `create` answers a new one."""
        with self.lock:
            for client in self.clients:
                if client.session == session:
                    client.key_valid = False
            self.sessions[session].tokens_valid_from = self.clock.now()

    def forget(self) -> None:
        """Back to no clients and no sessions."""
        with self.lock:
            for known in (self.clients, self.sessions, self.creations, self.messages, self._by_idempotency_key):
                known.clear()

    def revoke_tokens(self, session: str) -> None:
        with self.lock:
            self.sessions[session].tokens_valid_from = self.clock.now()
