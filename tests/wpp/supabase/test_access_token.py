"""An access token's form, key and claims: what is accepted, and the reason that the log has for what is not."""

from __future__ import annotations

import base64
import json
import time
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from emulator.faults import Fault
from wpp.errors import InvalidToken, MissingAuthorization
from wpp.supabase.caller import CallerCheck, bearer_token, is_made_for

if TYPE_CHECKING:
    from emulator.stack import Stack
    from wpp.runtime import Runtime

USER = str(uuid.UUID(int=7))
IN_2100 = 4102444800
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
CLAIMS = {"sub": USER, "aud": "authenticated", "role": "authenticated", "exp": IN_2100, "iat": 1_700_000_000}


def user_id(runtime: Runtime, token: str) -> str:
    return runtime.caller_check.user_id(token, runtime.begin("test", "r", 5).upstream)


def reason(runtime: Runtime, token: str) -> str:
    with pytest.raises(InvalidToken) as caught:
        user_id(runtime, token)
    assert str(caught.value) == "Unauthorized"
    return caught.value.reason


def claims(changed: dict[str, Any]) -> dict[str, Any]:
    """`...` leaves one out, and a timedelta is from now on."""
    now = time.time()
    times = {n: int(now + v.total_seconds()) if isinstance(v, timedelta) else v for n, v in (CLAIMS | changed).items()}
    return {name: value for name, value in times.items() if value is not ...}


def encoded(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize("header", [None, "", " \t\r\n"])
def test_no_authorization_is_missing(header: str | None) -> None:
    with pytest.raises(MissingAuthorization):
        bearer_token(header)


@pytest.mark.parametrize("header", ["Bearer abc", "bearer   abc", "BEARER\tabc \t", " \r\nBearer abc\r\n "])
def test_the_token_follows_bearer_in_any_case_and_any_white_space(header: str) -> None:
    assert bearer_token(header) == "abc"


@pytest.mark.parametrize(
    "header",
    ["abc", "Basic abc", "Bearer", "Bearerabc", "XBearer abc", "Bearer a b", "\xa0Bearer abc", "Bearer\xa0abc", "\xa0"],
)
def test_another_authorization_is_not_a_token(header: str) -> None:
    with pytest.raises(InvalidToken) as caught:
        bearer_token(header)
    assert caught.value.reason == "the header is not `Bearer <token>`"


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"aud": ["x", "authenticated"]},
        {"exp": timedelta(seconds=-1)},  # clocks may differ by 10 seconds
        {"nbf": timedelta(seconds=5)},
        {"nbf": 0, "iat": 0.5},
        {"exp": 2**53 - 1},
    ],
)
def test_a_token_with_the_right_claims_names_its_user(stack: Stack, runtime: Runtime, changed: dict[str, Any]) -> None:
    assert user_id(runtime, stack.supabase.auth.sign(claims(changed))) == USER


@pytest.mark.parametrize(
    ("changed", "reason_for_log"),
    [
        ({"role": "anon"}, "the role is not authenticated"),
        ({"role": "service_role"}, "the role is not authenticated"),
        ({"role": ...}, "the role is not authenticated"),
        ({"sub": "eq.x&select=*"}, "the subject is not a UUID"),
        ({"sub": f"{{{USER}}}"}, "the subject is not a UUID"),
        ({"sub": USER + "0"}, "the subject is not a UUID"),
        ({"sub": "A" + USER[1:]}, "the subject is not a UUID"),
        ({"exp": timedelta(seconds=-15)}, "python-jose refuses it: ExpiredSignatureError"),
        ({"nbf": timedelta(seconds=60)}, "python-jose refuses it: JWTClaimsError"),
        ({"aud": "anon"}, "python-jose refuses it: JWTClaimsError"),
        ({"aud": ["anon"]}, "python-jose refuses it: JWTClaimsError"),
        ({"sub": 7}, "python-jose refuses it: JWTClaimsError"),
        ({"exp": ...}, "python-jose refuses it: JWTError"),
        ({"aud": ...}, "python-jose refuses it: JWTError"),
        ({"sub": ...}, "python-jose refuses it: JWTError"),
        ({"exp": None}, "python-jose refuses it: TypeError"),
        ({"exp": "never"}, "python-jose refuses it: JWTClaimsError"),
        ({"exp": True}, "python-jose refuses it: ExpiredSignatureError"),
        ({"exp": 2**53}, "`exp` is not a time"),
        ({"exp": str(IN_2100)}, "`exp` is not a time"),
        ({"iat": -1}, "`iat` is not a time"),
        ({"iat": "1700000000"}, "`iat` is not a time"),
        ({"nbf": True}, "`nbf` is not a time"),
    ],
)
def test_a_claim_that_is_not_right_is_refused_with_a_reason(
    stack: Stack, runtime: Runtime, changed: dict[str, Any], reason_for_log: str
) -> None:
    assert reason(runtime, stack.supabase.auth.sign(claims(changed))) == reason_for_log


def test_a_forged_signature_is_refused(stack: Stack, runtime: Runtime) -> None:
    good = stack.supabase.auth.sign(CLAIMS)
    forged = stack.supabase.auth.sign(CLAIMS | {"sub": str(uuid.UUID(int=8))})
    token = ".".join([*forged.split(".")[:2], good.split(".")[2]])
    assert reason(runtime, token) == "python-jose refuses it: JWTError"


def test_an_es256_token_can_be_signed_in_two_ways_for_one_user(stack: Stack, runtime: Runtime) -> None:
    """ECDSA's own doing, which SECURITY.md names: with (r, s), (r, n - s) is valid too."""
    content, _, signature = stack.supabase.auth.sign(claims({}), "ES256").rpartition(".")
    both = base64.urlsafe_b64decode(signature + "==")
    r, s = both[:32], int.from_bytes(both[32:])

    def token(s: int) -> str:
        return f"{content}.{base64.urlsafe_b64encode(r + s.to_bytes(32)).decode().rstrip('=')}"

    assert token(s) == f"{content}.{signature}"
    assert [user_id(runtime, token(either)) for either in (s, P256_ORDER - s)] == [USER, USER]
    assert reason(runtime, token(s ^ 1)) == "python-jose refuses it: JWTError"


def test_a_token_of_up_to_8000_characters_is_read(stack: Stack, runtime: Runtime) -> None:
    tokens = [stack.supabase.auth.sign(CLAIMS | {"filler": "x" * length}) for length in range(5750, 5850)]
    longest = max((token for token in tokens if len(token) <= 8000), key=len)
    assert len(longest) == 8000
    assert user_id(runtime, longest) == USER
    too_long = min((token for token in tokens if len(token) > 8000), key=len)
    assert reason(runtime, too_long) == "it does not have the form and size of a JWT"


@pytest.mark.parametrize(
    "token", ["a.b", "a.b.c.d", "a..c", "a.b.", ".b.c", "a.b+.c", "a.b.c=", "a.b.\u0661", "a.b.c\n"]
)
def test_what_is_not_three_segments_of_base64url_is_not_read(runtime: Runtime, token: str) -> None:
    assert reason(runtime, token) == "it does not have the form and size of a JWT"


@pytest.mark.parametrize(
    "token",
    ["eyJhbGciOiAiSFMyNTYifR.e30.c2k", "eyJhbGciOiAiSFMyNTYifQ.e31.c2k", "eyJhbGciOiAiSFMyNTYifQ.e30.c2l"],
)
def test_only_the_canonical_spelling_of_each_segment_is_read(runtime: Runtime, token: str) -> None:
    assert reason(runtime, token) == "the header cannot be read"
    assert reason(runtime, "eyJhbGciOiAiSFMyNTYifQ.e30.c2k") == "python-jose refuses it: JWTError"


@pytest.mark.parametrize(
    ("header", "reason_for_log"),
    [
        ("{", "the header cannot be read"),
        ("[" * 5000, "the header cannot be read"),
        ([], "the header is not an object, or asks for an extension"),
        ({"alg": "HS256", "crit": []}, "the header is not an object, or asks for an extension"),
        ({}, "the algorithm is not HS256, ES256 or RS256"),
        ({"alg": "none"}, "the algorithm is not HS256, ES256 or RS256"),
        ({"alg": "HS512", "kid": "x"}, "the algorithm is not HS256, ES256 or RS256"),
        ({"alg": ["ES256"], "kid": "x"}, "the algorithm is not HS256, ES256 or RS256"),
        ({"alg": "ES256"}, "the header has no key id"),
        ({"alg": "RS256", "kid": 5}, "the header has no key id"),
        ({"alg": "RS256", "kid": "x"}, "Supabase has no such key"),
    ],
)
def test_a_header_that_is_not_right_is_refused_with_a_reason(
    runtime: Runtime, header: object, reason_for_log: str
) -> None:
    assert reason(runtime, f"{encoded(header)}.{encoded(CLAIMS)}.c2ln") == reason_for_log


def test_a_shared_secret_that_is_not_configured_signs_nothing(stack: Stack, runtime: Runtime) -> None:
    check = CallerCheck(runtime.config._replace(supabase_jwt_secret=None), runtime.signing_keys)
    with pytest.raises(InvalidToken) as caught:
        check.user_id(stack.supabase.auth.sign(CLAIMS), runtime.begin("test", "r", 5).upstream)
    assert caught.value.reason == "the algorithm is HS256, and SUPABASE_JWT_SECRET is not set"


class Rotated:
    """A secret that the operator has replaced, and that is fetched again when the old value was refused."""

    def __init__(self, value: str, later: str) -> None:
        self._value, self._later = value, later

    def value(self) -> str:
        return self._value

    def known_value(self) -> str:
        return self._value

    def renewed(self, refused: str) -> bool:
        is_another = self._value != self._later
        self._value = self._later
        return is_another

    def forget(self) -> None: ...


@pytest.mark.parametrize(
    ("later", "algorithm", "is_accepted"),
    [("right", "HS256", True), ("wrong", "HS256", False), ("right", "ES256", False)],
)
def test_a_secret_that_was_replaced_meanwhile_checks_the_token_again(
    stack: Stack, runtime: Runtime, later: str, algorithm: str, is_accepted: bool
) -> None:
    stack.supabase.auth.signing_key("ES256")
    later = {"right": stack.supabase.jwt_secret, "wrong": "the old secret of 32 characters."}[later]
    secret = Rotated("the old secret of 32 characters.", later)
    check = CallerCheck(runtime.config._replace(supabase_jwt_secret=secret), runtime.signing_keys)
    token, upstream = stack.supabase.auth.sign(CLAIMS, algorithm), runtime.begin("test", "r", 5).upstream
    if algorithm != "HS256":
        head, _, signature = token.split(".")
        token = f"{head}.{encoded(CLAIMS | {'sub': str(uuid.UUID(int=8))})}.{signature}"
    if is_accepted:
        assert check.user_id(token, upstream) == USER
    else:
        with pytest.raises(InvalidToken) as caught:
            check.user_id(token, upstream)
        assert caught.value.reason == "python-jose refuses it: JWTError"


def test_a_key_that_is_made_for_something_else_checks_nothing(stack: Stack, runtime: Runtime) -> None:
    key = stack.supabase.auth.signing_key("ES256").public() | {"use": "enc"}
    stack.supabase_server.inject(Fault("auth.jwks", status=200, body=json.dumps({"keys": [key]}).encode()))
    token = stack.supabase.auth.sign(CLAIMS, "ES256")
    assert reason(runtime, token) == "the key is for another algorithm or use"


EC = {"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "key_ops": ["verify"]}
RSA = {"kty": "RSA", "alg": "RS256", "use": "sig", "key_ops": ["verify"]}


@pytest.mark.parametrize(
    ("key", "algorithm", "is_it"),
    [
        (EC, "ES256", True),
        (RSA, "RS256", True),
        ({"kty": "EC", "crv": "P-256"}, "ES256", True),
        ({"kty": "RSA"}, "RS256", True),
        (EC | {"key_ops": ["sign", "verify"]}, "ES256", True),
        (RSA | {"crv": "P-384"}, "RS256", True),
        (EC | {"alg": "RS256"}, "ES256", False),
        (EC | {"kty": "RSA"}, "ES256", False),
        (EC, "RS256", False),
        (EC | {"crv": "P-384"}, "ES256", False),
        ({"kty": "EC"}, "ES256", False),
        (EC | {"use": "enc"}, "ES256", False),
        (EC | {"key_ops": ["sign"]}, "ES256", False),
        (EC | {"key_ops": []}, "ES256", False),
        (EC | {"key_ops": "verify"}, "ES256", False),
        (EC | {"key_ops": None}, "ES256", False),
        ({}, "ES256", False),
    ],
)
def test_a_key_says_what_it_is_made_for(key: dict[str, Any], algorithm: str, is_it: bool) -> None:
    assert is_made_for(key, algorithm) is is_it
