"""Who calls: the user's access token, checked locally first, so that a bad one costs no network, then confirmed by Supabase."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any

from wpp.errors import InvalidToken, MissingAuthorization
from wpp.http.messages import Request
from wpp.http.upstream import malformed, refusal
from wpp.supabase.api import refuses_our_key

if TYPE_CHECKING:
    from wpp.config import Config
    from wpp.http.upstream import Upstream
    from wpp.supabase.signing_keys import SigningKeys

_MAX_TOKEN = 8000  # characters; Supabase's own are under 2,000, and gunicorn refuses header lines over 8,190
_BEARER = re.compile(r"bearer\s+(\S+)\s*", re.IGNORECASE | re.ASCII)
_CLOCK_LEEWAY = 10  # seconds that our clock may differ from Supabase's
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_FORM = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
_KEY_TYPES = {"ES256": "EC", "RS256": "RSA"}
_END_OF_TIME = 2.0**53  # seconds; beyond it a float is not exact
_TIMES = ("exp", "nbf", "iat")


def bearer_token(authorization: str | None) -> str:
    """The token of an `Authorization` header: `Bearer` in any case, any white space.

    Raises MissingAuthorization, InvalidToken.
    """
    # Not all of Unicode's white space: some of it is among a header's latin-1 characters.
    given = (authorization or "").strip(" \t\r\n")
    if not given:
        raise MissingAuthorization
    match = _BEARER.fullmatch(given)
    if match is None:
        raise InvalidToken("the header is not `Bearer <token>`")
    return match[1]


class CallerCheck:
    """One per process."""

    def __init__(self, config: Config, keys: SigningKeys) -> None:
        self._config = config
        self._keys = keys

    @staticmethod
    def prepare() -> None:
        """Imports what the first token would otherwise wait for."""
        import jose.jwt  # noqa: F401
        from cryptography.hazmat.backends import default_backend

        default_backend()

    def user_id(self, token: str, upstream: Upstream) -> str:
        """The `sub` of a token whose form, signature and claims are right. Raises InvalidToken.

        Uses the network only if the JWKS has to be loaded. Cannot see a sign-out, a deletion or a ban.
        """
        algorithm, key = self._key(token, upstream)
        try:
            claims = _verified(token, key, algorithm)
        except InvalidToken:
            # Forged tokens cannot cause more fetches than renewed() allows.
            secret = self._config.supabase_jwt_secret
            if algorithm != "HS256" or secret is None or not secret.renewed(key):
                raise
            claims = _verified(token, secret.value(), algorithm)
        subject = claims.get("sub")
        if claims.get("role") != "authenticated":
            raise InvalidToken("the role is not authenticated")
        if not isinstance(subject, str) or not _is_uuid(subject):
            raise InvalidToken("the subject is not a UUID")
        return subject

    def confirm(self, token: str, user_id: str, upstream: Upstream) -> None:
        """Asks Supabase whether the user's session is still valid. Raises InvalidToken if it is not."""
        url = f"{self._config.supabase_url}/auth/v1/user"

        def request(key: str) -> Request:
            headers = {"apikey": key, "Authorization": f"Bearer {token}"}
            return Request("supabase", "auth.user", "GET", url, headers, repeatable=True)

        response = upstream.send_with(self._config.supabase_anon_key, request, refuses_our_key)
        if refuses_our_key(response):
            raise refusal("supabase", "auth.user", response, "is SUPABASE_ANON_KEY right?")
        if response.status in (400, 401, 403):
            raise InvalidToken(f"Supabase does not confirm the session, status {response.status}")
        if response.status != 200:
            raise refusal("supabase", "auth.user", response)
        if not isinstance(response.json, dict) or not isinstance(response.json.get("id"), str):
            raise malformed("supabase", "auth.user", "a user", response)
        if response.json["id"] != user_id:
            raise InvalidToken("Supabase names another user")

    def _key(self, token: str, upstream: Upstream) -> tuple[str, Any]:
        """The one algorithm and key that may have signed the token: chosen by us, never taken from the token."""
        header = _header(token)
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm == "HS256":
            secret = self._config.supabase_jwt_secret
            if secret is None:
                raise InvalidToken("the algorithm is HS256, and SUPABASE_JWT_SECRET is not set")
            return algorithm, secret.value()
        if not isinstance(algorithm, str) or algorithm not in _KEY_TYPES:
            raise InvalidToken("the algorithm is not HS256, ES256 or RS256")
        if not isinstance(key_id, str):
            raise InvalidToken("the header has no key id")
        key = self._keys.find(key_id, upstream)
        if key is None:
            raise InvalidToken("Supabase has no such key")
        if not is_made_for(key, algorithm):
            raise InvalidToken("the key is for another algorithm or use")
        return algorithm, key


def is_made_for(key: dict[str, Any], algorithm: str) -> bool:
    """Whether a JWK is meant to verify signatures of this algorithm. python-jose does not read these members."""
    operations = key.get("key_ops", ["verify"])
    return (
        key.get("kty") == _KEY_TYPES[algorithm]
        and key.get("alg", algorithm) == algorithm
        and key.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
        and (algorithm != "ES256" or key.get("crv") == "P-256")
    )


def _header(token: str) -> dict[str, Any]:
    if len(token) > _MAX_TOKEN or not _FORM.fullmatch(token):
        raise InvalidToken("it does not have the form and size of a JWT")
    try:
        # All three, because python-jose skips characters outside base64url, and so accepts many spellings of one token.
        first, *_ = [_decoded(segment) for segment in token.split(".")]
        header = json.loads(first)
    except (ValueError, RecursionError) as error:
        raise InvalidToken("the header cannot be read") from error
    if not isinstance(header, dict) or "crit" in header:
        raise InvalidToken("the header is not an object, or asks for an extension")
    return header


def _decoded(segment: str) -> bytes:
    """Raises ValueError for every spelling of these bytes but the canonical one."""
    padded = (segment + "=" * (-len(segment) % 4)).encode()
    data = base64.urlsafe_b64decode(padded)
    if base64.urlsafe_b64encode(data) != padded:
        raise ValueError
    return data


def _verified(token: str, key: Any, algorithm: str) -> dict[str, Any]:
    from jose import jwk, jwt  # heavy, and not needed by a preflight or a health check

    options = {"require_exp": True, "require_aud": True, "require_sub": True, "leeway": _CLOCK_LEEWAY}
    try:
        # Constructed here, because python-jose parses a key that is text as JSON first, and tries every key that it finds there.
        key = jwk.construct(key, algorithm)
        claims = jwt.decode(token, key, algorithms=[algorithm], audience="authenticated", options=options)
    except Exception as error:
        # python-jose lets TypeError, OverflowError, RecursionError, AttributeError and JWKError through as well.
        raise InvalidToken(f"python-jose refuses it: {type(error).__name__}") from error
    for name in _TIMES:
        if name in claims and not _is_time(claims[name]):
            raise InvalidToken(f"`{name}` is not a time")
    return claims


def _is_time(value: Any) -> bool:
    """Whether it is a finite number of seconds since 1970: python-jose also accepts text, booleans and any size."""
    return not isinstance(value, bool) and isinstance(value, (int, float)) and 0 <= value < _END_OF_TIME


def _is_uuid(text: str) -> bool:
    """Whether it is a UUID as Supabase writes it: with braces, capitals or other digits it would be a different filter."""
    return bool(_UUID.fullmatch(text))
