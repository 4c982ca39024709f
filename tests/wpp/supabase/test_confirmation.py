"""Supabase confirms that the session of a token is still valid."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

import pytest

from emulator.faults import Fault
from wpp.errors import InvalidToken, UpstreamBroken, UpstreamRefused, UpstreamUnreadable
from wpp.supabase.caller import CallerCheck

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.stack import Stack
    from wpp.runtime import Runtime

USER = str(uuid.UUID(int=7))


@pytest.fixture
def confirm(runtime: Runtime) -> Callable[[], None]:
    return lambda: runtime.caller_check.confirm("token-1", USER, runtime.begin("test", "request-1", 8).upstream)


def answer(stack: Stack, status: int, body: object) -> None:
    """With bytes as they are: a gateway does not always write JSON."""
    written = body if isinstance(body, bytes) else json.dumps(body).encode()
    stack.supabase_server.inject(Fault("auth.user", status=status, body=written))


def test_the_user_is_asked_for_with_the_token_and_the_public_key(stack: Stack, confirm: Callable[[], None]) -> None:
    answer(stack, 200, {"id": USER})

    confirm()

    (received,) = stack.supabase_server.received
    request = received.request
    assert (request.method, request.path, request.query, request.body) == ("GET", "/auth/v1/user", "", b"")
    headers = [request.headers[name] for name in ("apikey", "authorization", "x-request-id")]
    assert headers == [stack.supabase.anon_key, "Bearer token-1", "request-1"]


def test_a_confirmation_is_asked_for_again_after_a_failure(stack: Stack, confirm: Callable[[], None]) -> None:
    answer(stack, 503, None)
    answer(stack, 200, {"id": USER})
    confirm()
    assert stack.supabase_server.count("auth.user") == 2


def test_a_confirmation_that_fails_is_named(stack: Stack, confirm: Callable[[], None]) -> None:
    stack.supabase_server.inject(Fault("auth.user", status=503, headers={"Retry-After": "600"}))
    with pytest.raises(UpstreamBroken) as caught:
        confirm()
    assert str(caught.value) == "Supabase failed with status 503 (auth.user)"


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_session_that_has_ended_is_an_invalid_token(stack: Stack, confirm: Callable[[], None], status: int) -> None:
    answer(stack, status, {"error_code": "session_not_found", "msg": "x"})
    with pytest.raises(InvalidToken) as caught:
        confirm()
    assert caught.value.reason == f"Supabase does not confirm the session, status {status}"
    assert stack.supabase_server.count("auth.user") == 1


def test_another_user_than_the_tokens_is_an_invalid_token(stack: Stack, confirm: Callable[[], None]) -> None:
    answer(stack, 200, {"id": str(uuid.UUID(int=8))})
    with pytest.raises(InvalidToken) as caught:
        confirm()
    assert caught.value.reason == "Supabase names another user"


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        (401, {"message": "Invalid authentication credentials"}, "401: is SUPABASE_ANON_KEY right?"),
        (403, {"message": "x"}, "403: is SUPABASE_ANON_KEY right?"),
        (404, {"message": "x"}, "404"),
        (201, {"id": USER}, "201"),
        (300, None, "300"),
    ],
)
def test_any_other_refusal_is_not_the_callers_fault(
    stack: Stack, confirm: Callable[[], None], status: int, body: object, problem: str
) -> None:
    answer(stack, status, body)
    with pytest.raises(UpstreamRefused) as caught:
        confirm()
    assert str(caught.value) == f"Supabase refused with status {problem} (auth.user)"


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        (401, b"Unauthorized", "401: is SUPABASE_ANON_KEY right?"),  # Envoy, for a key that it does not know
        (403, b"RBAC: access denied", "403: is SUPABASE_ANON_KEY right?"),
        (403, b"<html>Access denied | Cloudflare</html>", "403: is SUPABASE_ANON_KEY right?"),
    ],
)
def test_a_gateways_refusal_signs_nobody_out(
    stack: Stack, confirm: Callable[[], None], status: int, body: bytes, problem: str
) -> None:
    answer(stack, status, body)
    with pytest.raises(UpstreamRefused) as caught:
        confirm()
    assert str(caught.value) == f"Supabase refused with status {problem} (auth.user)"


@pytest.mark.parametrize("body", [None, [], "x", {}, {"id": None}, {"id": 7}])
def test_a_response_without_a_user_is_an_error(stack: Stack, confirm: Callable[[], None], body: object) -> None:
    answer(stack, 200, body)
    with pytest.raises(UpstreamUnreadable) as caught:
        confirm()
    assert str(caught.value) == "Supabase answered without a user, status 200 (auth.user)"


class Rotated:
    """A key that has another value once the first one was refused."""

    def __init__(self) -> None:
        self._value = "old-key"

    def value(self) -> str:
        return self._value

    def known_value(self) -> str:
        return self._value

    def renewed(self, refused: str) -> bool:
        self._value = "new-key"
        return refused == "old-key"

    def forget(self) -> None: ...


@pytest.mark.parametrize(
    ("refusal", "keys"),
    [
        ({"message": "Invalid authentication credentials"}, ["old-key", "new-key"]),
        (b"Unauthorized", ["old-key", "new-key"]),
        ({"msg": "x"}, ["old-key"]),
    ],
)
def test_a_refusal_of_our_key_asks_once_more_with_a_newer_one(
    stack: Stack, runtime: Runtime, refusal: object, keys: list[str]
) -> None:
    check = CallerCheck(runtime.config._replace(supabase_anon_key=Rotated()), runtime.signing_keys)
    answer(stack, 401, refusal)
    answer(stack, 401, {"error_code": "bad_jwt"})
    with pytest.raises(InvalidToken):
        check.confirm("token-1", USER, runtime.begin("test", "r", 8).upstream)
    assert [received.request.headers["apikey"] for received in stack.supabase_server.received] == keys
