"""The platform's clients: their keys and tokens, and a WhatsApp session each.

`/auth/token` refuses a key in two ways here: `invalidate_key` takes its tokens along, and `create` answers another one;
`refuse_key` leaves the tokens, and `create` answers the same one. Which of them a real platform does was never seen, nor whether
a refusal reaches all of its servers at once, nor what becomes of a client that is deleted there.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from jose import JWTError, jwt

from emulator.platform.sessions import Session, Sessions

if TYPE_CHECKING:
    from emulator.clock import Clock


@dataclass
class Client:
    organization_id: str
    api_key: str
    session: str
    issued_at: float
    key_valid: bool = True
    refusals: int | None = 0
    """How often its key is still refused, although it is the client's; None for ever."""


@dataclass(frozen=True)
class Creation:
    organization_id: str
    idempotency_key: str | None
    api_key: str
    session: str


class Platform(Sessions):
    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.clients: list[Client] = []
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
            session = self.sessions[client.session]
            session.is_gone = session.is_gone and self.settings.lost_for_good
            if self.settings.create_starts and session.started_at is None:
                self.start(session)
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
            if client.refusals != 0:
                client.refusals = client.refusals and client.refusals - 1
                return None
            claims = {"session": client.session, "iat": now, "exp": now + self.settings.token_lifetime}
            return str(jwt.encode({**claims, "jti": secrets.token_hex(4)}, self._signing_secret, "HS256"))

    def session_of(self, token: str) -> Session | None:
        """The session that a token is for, None if the token is not accepted, or no longer."""
        try:
            claims = _claims(token, self._signing_secret)
        except JWTError:
            return None
        with self.lock:
            session = self.sessions.get(claims["session"])
            if session is None:  # forgotten since
                return None
            alive = session.tokens_valid_from <= claims["iat"] and self.clock.now() < claims["exp"]
            return session if alive else None

    def refuse_key(self, session: str, times: int | None = 1) -> None:
        """The client's key is refused this often, None for ever; its tokens are accepted all the time."""
        with self.lock:
            for client in self._clients_with(self.sessions[session]):
                client.refusals = times

    def invalidate_key(self, session: str) -> None:
        """From now on the client's key is refused; the next `create` answers a new one."""
        with self.lock:
            for client in self._clients_with(self.sessions[session]):
                client.key_valid = False
            self.sessions[session].tokens_valid_from = self.clock.now()

    def revoke_tokens(self, session: str) -> None:
        with self.lock:
            self.sessions[session].tokens_valid_from = self.clock.now()

    def forget(self) -> None:
        """Back to no clients and no sessions."""
        with self.lock:
            for known in (self.clients, self.sessions, self.creations, self.messages, self._by_idempotency_key):
                known.clear()

    def _clients_with(self, session: Session) -> list[Client]:
        return [client for client in self.clients if client.session == session.name]


@lru_cache(maxsize=10_000)  # every call comes with one of a few tokens
def _claims(token: str, secret: str) -> dict[str, Any]:
    unchecked = {"verify_exp": False, "verify_iat": False}
    return jwt.decode(token, secret, algorithms=["HS256"], options=unchecked)
