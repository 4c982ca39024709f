"""How long a platform token lasts."""

from __future__ import annotations

import base64
import json

import pytest
from jose import jwt

from wpp.platform.token import AccessToken, fresh_token, is_header_text, stored_token

NOW = 1_800_000_000.0


def signed(**claims: object) -> str:
    return jwt.encode(claims, "secret")


def unsigned(payload: object) -> str:
    """With a payload that a JWT library would not sign."""
    return "a." + base64.urlsafe_b64encode(json.dumps(payload).encode()).decode().rstrip("=") + ".c"


@pytest.mark.parametrize(
    ("text", "expires_in", "lifetime"),
    [
        ("opaque", None, 900),
        ("opaque", 60, 60),
        ("opaque", 0.5, 0.5),
        ("opaque", 1, 1),
        (signed(exp=NOW + 300), None, 300),
        (signed(exp=NOW + 300), 0, 300),
        (signed(exp=NOW + 300, iat=NOW), 60, 60),
        # The platform's clock is an hour behind: only the difference of its own two times says something.
        (signed(exp=NOW - 3000, iat=NOW - 3600), None, 600),
        (signed(exp=NOW - 1), None, 900),
        (signed(exp=NOW, iat=NOW), None, 900),
        (signed(iat=NOW), None, 900),
        (signed(exp=NOW + 300, iat="x"), None, 300),
        (unsigned({"exp": NOW + 300, "pad": "?>"}), None, 300),
        (unsigned({"exp": NOW + 300, "pad": "1"}), None, 300),
        (unsigned({"exp": NOW + 300, "pad": "12"}), None, 300),
        (unsigned([NOW + 300]), None, 900),
        (unsigned({"exp": str(NOW + 300)}), None, 900),
        ("opaque", 0, 900),
        ("opaque", -5, 900),
        ("opaque", True, 900),
        ("opaque", "60", 900),
        ("opaque", float("inf"), 900),
        ("opaque", 10**400, 900),
        ("a.!!!.c", None, 900),
        ("a.bnVsbA.c", None, 900),
        ("opaque", 24 * 3600 - 1, 24 * 3600 - 1),
        ("opaque", 24 * 3600 + 1, 24 * 3600),
        ("opaque", 10**9, 24 * 3600),
    ],
)
def test_the_lifetime_is_expires_in_else_the_tokens_own_else_15_minutes(
    text: str, expires_in: object, lifetime: float
) -> None:
    token = fresh_token(text, expires_in, NOW)
    assert (token.text, token.expires_at) == (text, NOW + lifetime)


@pytest.mark.parametrize(
    ("lifetime", "used_for"),
    [(900, 870), (200, 170), (150, 120), (149, 149 - 149 / 5), (10, 8)],
)
def test_a_token_is_not_used_in_its_last_30_seconds_or_last_fifth(lifetime: float, used_for: float) -> None:
    assert fresh_token("opaque", lifetime, NOW).renew_at == NOW + used_for


def test_a_stored_token_is_not_used_in_its_last_30_seconds() -> None:
    assert stored_token("opaque", 1_800_000_000_500) == AccessToken("opaque", NOW + 0.5, NOW + 0.5 - 30)


@pytest.mark.parametrize(
    ("text", "expires_at"),
    [(None, 1), ("", 1), ("a", None), ("a", "soon"), ("a", float("nan")), ("a", 0), ("a", True), (3, 1),
     ("a\r\nX-Injected: 1", 1), ("ä", 1)],
)  # fmt: skip
def test_a_stored_token_that_makes_no_sense_is_none(text: object, expires_at: object) -> None:
    assert stored_token(text, expires_at) is None


@pytest.mark.parametrize(
    ("value", "is_sent"),
    [("k", True), ("k y_~", True), ("k" * 4096, True), ("k" * 4097, False), ("", False), ("ä", False), ("\x7f", False),
     (None, False), (b"k", False)],
)  # fmt: skip
def test_what_a_header_carries_is_short_printable_ascii(value: object, is_sent: bool) -> None:
    assert is_header_text(value) is is_sent


def test_a_token_is_shown_without_its_text() -> None:
    assert repr(fresh_token("opaque", 900, NOW)) == "AccessToken(***, expires_at=1800000900.0)"
