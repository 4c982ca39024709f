"""Coverage-guided fuzzing of what stands between an `Authorization` header and a user's id; run by test_fuzzing.py.

    python -m tests.support.fuzz_tokens -max_total_time=600 [folder for what it finds interesting]

Whatever comes in, either an error of ours comes out, or it is exactly the one good token that was handed to the fuzzer.
"""

from __future__ import annotations

import sys
import uuid
from typing import NoReturn

import atheris

with atheris.instrument_imports(include=["wpp", "jose"]):
    from jose import jwt

    from wpp.clock import Clock, Deadline
    from wpp.config import config_from
    from wpp.errors import InvalidToken, MissingAuthorization
    from wpp.http.transport import Transport
    from wpp.http.upstream import Upstream
    from wpp.supabase.caller import CallerCheck, bearer_token
    from wpp.supabase.signing_keys import SigningKeys

SECRET = "a-secret-that-nobody-else-has-0123456789"
USER = str(uuid.UUID(int=1, version=4))
GOOD = jwt.encode({"sub": USER, "aud": "authenticated", "role": "authenticated", "exp": 4102444800}, SECRET, "HS256")


class _NoNetwork(Transport):
    def __init__(self) -> None:
        pass

    def send(self, *_: object, **__: object) -> NoReturn:
        raise AssertionError("a token that is not accepted must cost no network")


_CLOCK = Clock()
_SETTINGS = config_from(
    {
        "SUPABASE_URL": "http://localhost:1",
        "SUPABASE_SERVICE_ROLE_KEY": "k" * 20,
        "SUPABASE_JWT_SECRET": SECRET,
        "WPP_SECRET": "s" * 20,
    }
)
_CHECK = CallerCheck(_SETTINGS, SigningKeys(_SETTINGS.supabase_url, _CLOCK))


def one_input(data: bytes) -> None:
    """A whole header; or, after a first byte of 1 or 2, claims or a header that the right key signed."""
    text = data.decode("latin-1")
    if data[:1] == b"\1":
        text = "Bearer " + _signed(GOOD.split(".")[0], data[1:])
    elif data[:1] == b"\2":
        text = "Bearer " + _signed_header(data[1:])
    upstream = Upstream(_NoNetwork(), Deadline(5, _CLOCK), _CLOCK, "test")
    try:
        token = bearer_token(text)
        user = _CHECK.user_id(token, upstream)
    except (InvalidToken, MissingAuthorization):
        return
    except AssertionError:
        if b"ES256" in data or b"RS256" in data:  # a key id makes the public keys be asked for, which is all right
            return
        raise
    assert user == str(uuid.UUID(user))
    if data[:1] not in (b"\1", b"\2"):
        assert token == GOOD, token


def _signed(header: str, claims: bytes) -> str:
    from tests.support.forging import b64, hmac_signature

    text = f"{header}.{b64(claims)}"
    return f"{text}.{b64(hmac_signature(SECRET.encode(), text))}"


def _signed_header(header: bytes) -> str:
    from tests.support.forging import b64

    return _signed(b64(header), b'{"sub":"x"}')


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
