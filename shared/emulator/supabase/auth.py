"""Supabase Auth: users, sessions that can be revoked, and tokens signed with HS256, ES256 or RS256."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jose import jwk, jwt
from jose.exceptions import ExpiredSignatureError, JOSEError

from emulator.messages import Request, Response, json_response

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.clock import Clock

_UNCHECKED = {"verify_aud": False, "verify_exp": False, "verify_iat": False, "verify_nbf": False}


@dataclass
class User:
    id: str
    email: str
    password: str
    banned: bool = False


@dataclass(frozen=True)
class SigningKey:
    id: str
    algorithm: str
    private: str
    """PEM."""

    def public(self) -> dict[str, Any]:
        return {**self._numbers, "kid": self.id, "use": "sig", "key_ops": ["verify"]}

    @cached_property
    def _numbers(self) -> dict[str, Any]:
        # Kept, as loading an RSA key takes longer than all else in a call.
        return dict(jwk.construct(self.private, self.algorithm).public_key().to_dict())


class Auth:
    def __init__(self, clock: Clock, jwt_secret: str) -> None:
        self.algorithm = "HS256"
        """What new tokens are signed with."""
        self.token_lifetime = 3600.0
        self.jwt_secret = jwt_secret
        self._clock = clock
        self._lock = threading.Lock()
        self._users: dict[str, User] = {}
        self._sessions: dict[str, str] = {}
        self._keys: dict[str, SigningKey] = {}

    def routes(self, request: Request) -> tuple[str, Callable[[], Response]] | None:
        match request.method, request.path.removeprefix("/auth/v1"):
            case "POST", "/token":
                return "auth.token", lambda: self._password(request)
            case "GET", "/user":
                return "auth.user", lambda: self._user(request)
            case "POST", "/logout":
                return "auth.logout", lambda: self._logout(request)
            case "GET", "/.well-known/jwks.json":
                return "auth.jwks", lambda: json_response(200, {"keys": [k.public() for k in self._keys.values()]})
            case "GET", "/health":
                return "auth.health", lambda: json_response(200, {"name": "GoTrue"})
        return None

    def add(self, email: str, password: str, user_id: str | None) -> str:
        user = User(user_id or str(uuid.uuid4()), email, password)
        with self._lock:
            self._users[user.id] = user
        return user.id

    def sign_in(self, email: str) -> str:
        """A new session's access token."""
        with self._lock:
            user = next(user for user in self._users.values() if user.email == email)
        return self._token(user)

    def sign(self, claims: dict[str, Any], algorithm: str | None = None) -> str:
        """Any claims, signed as this project signs."""
        algorithm = algorithm or self.algorithm
        if algorithm == "HS256":
            return str(jwt.encode(claims, self.jwt_secret, "HS256"))
        key = self.signing_key(algorithm)
        return str(jwt.encode(claims, key.private, algorithm, headers={"kid": key.id}))

    def claims(self, user_id: str, **changed: Any) -> dict[str, Any]:
        """What a token of this user says, for a new session."""
        session = str(uuid.uuid4())
        with self._lock:
            self._sessions[session] = user_id
            user = self._users[user_id]
        now = int(self._clock.now())
        claims = {
            "sub": user_id,
            "aud": "authenticated",
            "exp": now + int(self.token_lifetime),
            "iat": now,
            "role": "authenticated",
            "session_id": session,
            "aal": "aal1",
            "is_anonymous": False,
            "email": user.email,
        }
        return {name: value for name, value in (claims | changed).items() if value is not ...}

    def signing_key(self, algorithm: str) -> SigningKey:
        with self._lock:
            if algorithm not in self._keys:
                self._keys[algorithm] = _new_key(algorithm)
            return self._keys[algorithm]

    def rotate_key(self, algorithm: str) -> None:
        """From now on tokens are signed with another key, and the one before is not published any more."""
        with self._lock:
            self._keys[algorithm] = _new_key(algorithm)

    def ban(self, user_id: str) -> None:
        self._users[user_id].banned = True

    def delete(self, user_id: str) -> None:
        with self._lock:
            del self._users[user_id]

    def _token(self, user: User) -> str:
        return self.sign(self.claims(user.id))

    def _password(self, request: Request) -> Response:
        body = request.json() or {}
        with self._lock:
            known = [u for u in self._users.values() if u.email == body.get("email")]
        if not known or known[0].password != body.get("password"):
            return _refused(400, "invalid_credentials", "Invalid login credentials")
        answer = {
            "access_token": self._token(known[0]),
            "token_type": "bearer",
            "expires_in": int(self.token_lifetime),
            "expires_at": int(self._clock.now() + self.token_lifetime),
            "refresh_token": uuid.uuid4().hex,
            "user": _shown(known[0]),
        }
        return json_response(200, answer)

    def _user(self, request: Request) -> Response:
        found = self._authenticated(request)
        return found if isinstance(found, Response) else json_response(200, _shown(found[0]))

    def _logout(self, request: Request) -> Response:
        found = self._authenticated(request)
        if isinstance(found, Response):
            return found
        with self._lock:
            self._sessions.pop(found[1], None)
        return Response(204)

    def _authenticated(self, request: Request) -> tuple[User, str] | Response:
        """The user and the session of a request, or the refusal."""
        token = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
        if not token:
            return _refused(401, "no_authorization", "This endpoint requires a valid Bearer token")
        claims = self.verified(token)
        if claims is None or not isinstance(claims.get("sub"), str):
            return _refused(403, "bad_jwt", "invalid JWT: unable to parse or verify signature")
        if claims.get("exp", 0) <= self._clock.now():
            return _refused(403, "bad_jwt", "invalid JWT: token is expired")
        with self._lock:
            user = self._users.get(claims["sub"])
            session = claims.get("session_id", "")
            alive = self._sessions.get(session) == claims["sub"]
        if user is None:
            return _refused(403, "user_not_found", "User from sub claim in JWT does not exist")
        if user.banned:
            return _refused(403, "user_banned", "User is banned")
        if not alive:
            return _refused(403, "session_not_found", "Session from session_id claim in JWT does not exist")
        return user, session

    def verified(self, token: str) -> dict[str, Any] | None:
        """The claims of a token with a signature of ours, whatever they say."""
        try:
            header = jwt.get_unverified_header(token)
            algorithm = header["alg"]
            if algorithm == "HS256":
                return dict(_symmetric_claims(token, self.jwt_secret))
            return dict(jwt.decode(token, self._keys[algorithm].public(), algorithms=[algorithm], options=_UNCHECKED))
        except (JOSEError, ExpiredSignatureError, KeyError):
            return None


@lru_cache(maxsize=10_000)  # as PostgREST does: every request comes with the same few tokens
def _symmetric_claims(token: str, secret: str) -> dict[str, Any]:
    return jwt.decode(token, secret, algorithms=["HS256"], options=_UNCHECKED)


def _new_key(algorithm: str) -> SigningKey:
    private = (
        ec.generate_private_key(ec.SECP256R1())
        if algorithm == "ES256"
        else rsa.generate_private_key(public_exponent=65537, key_size=2048)
    )
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return SigningKey(str(uuid.uuid4()), algorithm, pem.decode())


def _refused(status: int, code: str, message: str) -> Response:
    return json_response(status, {"code": status, "error_code": code, "msg": message})


def _shown(user: User) -> dict[str, Any]:
    return {"id": user.id, "aud": "authenticated", "role": "authenticated", "email": user.email}
