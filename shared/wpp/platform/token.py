"""The platform's access token, how long it lasts, and where the one in use comes from."""

from __future__ import annotations

import base64
import json
import math
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from wpp.errors import KeyRefused
from wpp.http.messages import Request
from wpp.http.upstream import malformed, refusal

if TYPE_CHECKING:
    from wpp.cache import Recent
    from wpp.http.messages import Response
    from wpp.http.upstream import Upstream

_DEFAULT_LIFETIME = 900.0  # seconds; seen in production, where the response often does not say
_LONGEST_LIFETIME = 24 * 3600.0
_EARLY = 30.0  # seconds before its end that a token is not used any more
_LONGEST_TOKEN = 4096  # characters


class AccessToken(NamedTuple):
    text: str
    expires_at: float
    """Seconds since 1970, by our clock."""
    renew_at: float
    """From when on it is not used any more."""

    def __repr__(self) -> str:
        return f"AccessToken(***, expires_at={self.expires_at})"


def fresh_token(text: str, expires_in: Any, now: float) -> AccessToken:
    """A token as the platform just issued it: it lasts `expiresIn` seconds, else as long as it says itself, else 15 minutes."""
    lifetime = _seconds(expires_in) or _own_lifetime(text, now) or _DEFAULT_LIFETIME
    lifetime = min(lifetime, _LONGEST_LIFETIME)
    return AccessToken(text, now + lifetime, now + lifetime - min(_EARLY, lifetime / 5))


def stored_token(text: Any, expires_at_ms: Any) -> AccessToken | None:
    """The token of a stored row, or None if what is stored cannot be one."""
    expires_at = _seconds(expires_at_ms)
    if not isinstance(text, str) or not is_header_text(text) or expires_at is None:
        return None
    return AccessToken(text, expires_at / 1000, expires_at / 1000 - _EARLY)


class TokenSource:
    """The token of one API key: remembered by the process, else stored in the row, else fetched.

    One per invocation. Safe to use from several threads, which share one fetch.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        upstream: Upstream,
        memory: Recent[AccessToken],
        stored: AccessToken | None = None,
    ) -> None:
        self._url = f"{base_url}/auth/token"
        self._api_key = api_key
        self._upstream = upstream
        self._memory = memory
        self._stored = stored
        self._lock = threading.Lock()
        self.refused: str | None = None
        """The text of the token that the platform last refused."""

    def value(self) -> str:
        """A token to send. Raises KeyRefused if the platform does not accept the API key, UpstreamError, DeadlinePassed."""
        with self._lock:
            return (self._usable() or self._fetch()).text

    def renewed(self, refused: str) -> bool:
        """After a refusal of the token `refused`: makes sure that `value` returns another one. Raises as `value` does."""
        with self._lock:
            self.refused = refused
            token = self._usable()
            if token is None or token.text == refused:
                self._fetch()
            return True

    def fetched(self) -> str:
        """A token that the platform issues now, whatever is at hand. Raises as `value` does."""
        with self._lock:
            return self._fetch().text

    @property
    def is_at_hand(self) -> bool:
        return self._usable() is not None

    @property
    def current(self) -> AccessToken | None:
        """The token in use, if there is one yet."""
        return self._memory.get(self._api_key) or self._stored

    def _usable(self) -> AccessToken | None:
        # The remembered token before the stored one: other code of the product may have stored an older one.
        now = self._upstream.clock.now()
        for token in (self._memory.get(self._api_key), self._stored):
            if token and now < token.renew_at:
                return token
        return None

    def _fetch(self) -> AccessToken:
        request = Request("platform", "token", "POST", self._url, payload={"apiKey": self._api_key}, repeatable=True)
        response = self._upstream.send(request)
        if response.status in (401, 403) and _is_about_the_key(response):
            raise KeyRefused("platform", "token", "refuses the organization's API key", upstream_status=response.status)
        if not 200 <= response.status < 300:
            raise refusal("platform", "token", response)
        body = response.json if isinstance(response.json, dict) else {}
        text = body.get("token")
        if not isinstance(text, str) or not is_header_text(text):
            raise malformed("platform", "token", "a token", response)
        token = fresh_token(text, body.get("expiresIn"), self._upstream.clock.now())
        self._memory.put(self._api_key, token)
        return token


def is_header_text(value: Any) -> bool:
    """Whether a header can carry it: keys, sessions and tokens are sent in headers and addresses."""
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_TOKEN and value.isprintable() and value.isascii()


def _is_about_the_key(response: Response) -> bool:
    """Whether the platform itself refuses the key. A proxy's 403 must not get a good key replaced."""
    error = response.json.get("error") if isinstance(response.json, dict) else None
    return isinstance(error, str) and "invalid api key" in error.lower()


def _own_lifetime(text: str, now: float) -> float | None:
    """From the token's own claims. `exp - iat` is used if both are there: it does not depend on our clock agreeing."""
    try:
        payload = text.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=="))  # more padding than is missing does no harm
    except (ValueError, IndexError, RecursionError):
        return None
    if not isinstance(claims, dict):
        return None
    expires, issued = _seconds(claims.get("exp")), _seconds(claims.get("iat"))
    if expires is None:
        return None
    return _seconds(expires - (issued if issued is not None else now))


def _seconds(value: Any) -> float | None:
    """A positive finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and number > 0 else None
