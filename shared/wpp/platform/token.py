"""The platform's access token and how long it lasts."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

_DEFAULT_LIFETIME = 900.0  # seconds; seen in production, where the answer often does not say
_LONGEST_LIFETIME = 24 * 3600.0
_EARLY = 30.0  # seconds before its end that a token is not used any more


class AccessToken:
    def __init__(self, text: str, expires_at: float, renew_at: float) -> None:
        self.text = text
        self.expires_at = expires_at
        """Seconds since 1970, by our clock."""
        self.renew_at = renew_at

    def __repr__(self) -> str:
        return "AccessToken(***)"

    def usable(self, now: float) -> bool:
        return now < self.renew_at


def fresh_token(text: str, expires_in: Any, now: float) -> AccessToken:
    """A token that the platform just gave: it lasts `expiresIn` seconds, else as long as it says itself, else 15 minutes."""
    lifetime = _seconds(expires_in) or _own_lifetime(text, now) or _DEFAULT_LIFETIME
    lifetime = min(lifetime, _LONGEST_LIFETIME)
    return AccessToken(text, now + lifetime, now + lifetime - min(_EARLY, lifetime / 5))


def stored_token(text: Any, expires_at_ms: Any) -> AccessToken | None:
    """The token of a stored row, or None where the row has none that makes sense."""
    expires_at = _seconds(expires_at_ms)
    if not isinstance(text, str) or not text or expires_at is None:
        return None
    if not (text.isascii() and text.isprintable()):  # no header can carry it
        return None
    return AccessToken(text, expires_at / 1000, expires_at / 1000 - _EARLY)


def _own_lifetime(text: str, now: float) -> float | None:
    """From the token's own claims. `exp - iat` is used where both are there: it does not depend on our clock agreeing."""
    try:
        payload = text.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
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
