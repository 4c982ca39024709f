"""How long a platform token lasts."""

from __future__ import annotations

import pytest
from jose import jwt

from wpp.platform.token import fresh_token, stored_token

NOW = 1_800_000_000.0


def signed(**claims: object) -> str:
    return jwt.encode(claims, "secret")


@pytest.mark.parametrize(
    ("text", "expires_in", "lifetime"),
    [
        ("opaque", None, 900),
        ("opaque", 60, 60),
        (signed(exp=NOW + 300), None, 300),
        (signed(exp=NOW + 300, iat=NOW), 60, 60),
        # The platform's clock is an hour behind: only the difference of its own two times says something.
        (signed(exp=NOW - 3000, iat=NOW - 3600), None, 600),
        ("opaque", -5, 900),
        ("opaque", True, 900),
        ("opaque", "60", 900),
        ("opaque", float("inf"), 900),
        ("opaque", 10**400, 900),
        ("a.!!!.c", None, 900),
        ("a.bnVsbA.c", None, 900),
        ("opaque", 10**9, 24 * 3600),
    ],
)
def test_the_lifetime_is_expires_in_else_the_tokens_own_else_15_minutes(
    text: str, expires_in: object, lifetime: float
) -> None:
    assert fresh_token(text, expires_in, NOW).expires_at - NOW == pytest.approx(lifetime)


def test_a_token_is_not_used_to_its_very_end() -> None:
    token = fresh_token("opaque", 900, NOW)
    assert NOW + 860 < token.renew_at < NOW + 871


def test_a_short_lived_token_is_still_used_for_most_of_its_life() -> None:
    token = fresh_token("opaque", 10, NOW)
    assert NOW + 7 < token.renew_at < NOW + 9


@pytest.mark.parametrize(
    ("text", "expires_at"),
    [(None, 1), ("", 1), ("a", None), ("a", "soon"), ("a", float("nan")), (3, 1), ("a\r\nX-Injected: 1", 1), ("ä", 1)],
)
def test_a_stored_token_that_makes_no_sense_is_none(text: object, expires_at: object) -> None:
    assert stored_token(text, expires_at) is None


def test_a_token_shows_in_no_repr() -> None:
    assert "opaque" not in repr(fresh_token("opaque", 900, NOW))
