"""The keys that Supabase publishes: which are taken, for how long, and when they are asked for again."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from emulator.faults import Fault
from wpp.clock import Clock
from wpp.errors import KeysUnavailable
from wpp.runtime import Runtime
from wpp.supabase.signing_keys import SigningKeys

if TYPE_CHECKING:
    from emulator.stack import Stack

FIRST, SECOND = {"kid": "first", "kty": "EC"}, {"kid": "second", "kty": "RSA"}


class Keys(NamedTuple):
    stack: Stack
    runtime: Runtime
    keys: SigningKeys
    seconds: list[float]

    def find(self, key_id: str) -> dict[str, Any] | None:
        return self.keys.find(key_id, self.runtime.begin("test", "request-1", 8).upstream)

    def publish(self, *keys: object) -> None:
        self.answer(200, {"keys": keys})

    def answer(self, status: int, body: object) -> None:
        self.stack.supabase_server.inject(Fault("auth.jwks", status=status, body=json.dumps(body).encode()))

    def fail(self) -> None:
        self.stack.supabase_server.inject(Fault("auth.jwks", status=503, headers={"Retry-After": "600"}))

    @property
    def loads(self) -> int:
        return self.stack.supabase_server.count("auth.jwks")

    def problem(self, key_id: str) -> KeysUnavailable:
        with pytest.raises(KeysUnavailable) as caught:
            self.find(key_id)
        return caught.value


@pytest.fixture
def keys(stack: Stack, runtime: Runtime) -> Keys:
    seconds = [1000.0]
    clock = Clock(monotonic=lambda: seconds[0])
    return Keys(stack, runtime, SigningKeys(runtime.config.supabase_url, clock), seconds)


def test_the_keys_are_asked_for_without_a_credential(keys: Keys) -> None:
    keys.publish(FIRST, SECOND)

    assert keys.find("second") == SECOND
    assert keys.find("first") == FIRST

    (received,) = keys.stack.supabase_server.received
    request = received.request
    assert (request.method, request.path, request.query) == ("GET", "/auth/v1/.well-known/jwks.json", "")
    sent = [request.headers.get(name) for name in ("apikey", "authorization", "x-request-id")]
    assert sent == [None, None, "request-1"]


def test_what_is_not_a_key_with_an_id_is_passed_over(keys: Keys) -> None:
    keys.publish(3, {}, {"kid": 5}, {"kty": "EC"}, SECOND)
    assert keys.find("second") == SECOND


@pytest.mark.parametrize(("after", "loads"), [(599.9, 1), (600, 2)])
def test_keys_are_used_for_10_minutes(keys: Keys, after: float, loads: int) -> None:
    keys.publish(FIRST)
    keys.publish(FIRST)
    keys.find("first")
    keys.seconds[0] += after
    assert keys.find("first") == FIRST
    assert keys.loads == loads


@pytest.mark.parametrize(("after", "found"), [(3.9, None), (4, SECOND)])
def test_an_unknown_id_is_looked_for_4_seconds_after_the_last_load(keys: Keys, after: float, found: object) -> None:
    keys.publish(FIRST)
    keys.publish(SECOND)
    assert keys.find("second") is None
    keys.seconds[0] += after
    assert keys.find("second") == found


def test_a_project_that_signs_with_its_secret_need_not_publish_keys(keys: Keys) -> None:
    keys.answer(404, {"message": "x"})
    assert keys._replace(keys=keys.runtime.signing_keys).find("first") is None
    assert keys.loads == 1


def test_without_a_secret_no_token_can_be_checked_while_there_are_no_keys(keys: Keys) -> None:
    keys.answer(404, {"message": "no Route matched with those values"})
    with closing(Runtime(keys.runtime.config._replace(supabase_jwt_secret=None))) as runtime:
        error = keys._replace(keys=runtime.signing_keys).problem("first")
    assert error.problem == "Supabase refused with status 404 (auth.jwks)"


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        (401, {"message": "x"}, "Supabase refused with status 401 (auth.jwks)"),
        (204, None, "Supabase refused with status 204 (auth.jwks)"),
        (404, {"message": "x"}, "Supabase refused with status 404 (auth.jwks)"),
        (200, {}, "Supabase answered without a list of keys, status 200 (auth.jwks)"),
        (200, {"keys": {}}, "Supabase answered without a list of keys, status 200 (auth.jwks)"),
        (200, [], "Supabase answered without a list of keys, status 200 (auth.jwks)"),
    ],
)
def test_keys_that_cannot_be_had_are_a_problem_that_may_pass(
    keys: Keys, status: int, body: object, problem: str
) -> None:
    keys.answer(status, body)
    error = keys.problem("first")
    assert str(error) == f"Access tokens cannot be checked right now: {problem}"
    assert error.retry_after == 4

    keys.seconds[0] += 1
    assert keys.problem("first").retry_after == 3
    assert keys.loads == 1

    keys.publish(FIRST)
    keys.seconds[0] += 3
    assert keys.find("first") == FIRST


def test_a_load_is_repeated_and_named_when_it_fails(keys: Keys) -> None:
    keys.answer(503, None)
    keys.publish(FIRST)
    assert keys.find("first") == FIRST
    assert keys.loads == 2

    keys.seconds[0] += 4
    keys.fail()
    assert keys.problem("second").problem == "Supabase failed with status 503 (auth.jwks)"


def test_known_keys_keep_their_age_through_a_load_that_fails(keys: Keys) -> None:
    keys.publish(FIRST)
    keys.find("first")
    keys.seconds[0] += 500
    keys.fail()
    assert keys.problem("second").retry_after == 4
    assert keys.find("first") == FIRST
    keys.seconds[0] += 100
    keys.fail()
    keys.problem("first")


def test_a_problem_is_over_with_the_next_load(keys: Keys) -> None:
    keys.fail()
    keys.problem("second")
    keys.seconds[0] += 4
    keys.publish(FIRST)
    assert keys.find("second") is None


def test_a_load_gives_up_where_its_attempts_would_take_longer_than_5_seconds(keys: Keys) -> None:
    keys.stack.supabase_server.inject(Fault("auth.jwks", status=503, headers={"Retry-After": "5"}))
    keys.publish(FIRST)
    keys.problem("first")
    assert keys.loads == 1


def test_keys_are_loaded_again_after_they_are_forgotten(keys: Keys) -> None:
    keys.publish(FIRST)
    keys.publish(SECOND)
    keys.find("first")
    keys.keys.forget()
    assert keys.find("second") == SECOND


def test_no_load_is_under_way_after_any_outcome(keys: Keys) -> None:
    keys.publish(FIRST)
    keys.find("first")
    assert not keys.keys.is_loading
    keys.seconds[0] += 4
    keys.fail()
    keys.problem("second")
    assert not keys.keys.is_loading
