"""Who calls: keys of every kind, cached as they may be."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

import pytest

from emulator.faults import Fault
from emulator.stack import Stack
from tests.support.faults import FAULTS
from tests.support.servers import wait_for
from wpp.clock import Clock
from wpp.config import config_from
from wpp.errors import DeadlinePassed, KeysUnavailable
from wpp.runtime import Runtime
from wpp.supabase.signing_keys import SigningKeys

if TYPE_CHECKING:
    from collections.abc import Iterator


class Later:
    """A clock that a test moves forward by `seconds`."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.clock = Clock(monotonic=lambda: time.monotonic() + self.seconds)


@pytest.fixture
def clock() -> Later:
    return Later()


@pytest.fixture
def jwks_runtime(stack: Stack) -> Iterator[Runtime]:
    """A project without a shared JWT secret: its keys come from the JWKS."""
    runtime = _without_a_shared_secret(stack)
    stack.supabase.auth.signing_key("RS256")
    yield runtime
    runtime.close()


def _without_a_shared_secret(stack: Stack, clock: Clock | None = None) -> Runtime:
    env = stack.environment()
    del env["SUPABASE_JWT_SECRET"]
    stack.supabase.auth.signing_key("ES256")
    return Runtime(config_from(env), clock)


@pytest.fixture
def user_id(stack: Stack) -> str:
    return stack.supabase.add_user(f"{uuid.uuid4()}@example.com")


def checked(runtime: Runtime, token: str) -> str:
    return runtime.caller_check.user_id(token, runtime.begin("test", "r", 5).upstream)


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_a_token_of_either_public_key_algorithm_is_accepted(
    stack: Stack, jwks_runtime: Runtime, user_id: str, algorithm: str
) -> None:
    token = stack.supabase.auth.sign(stack.supabase.auth.claims(user_id), algorithm)
    assert checked(jwks_runtime, token) == user_id


def test_the_keys_are_loaded_once(stack: Stack, jwks_runtime: Runtime, user_id: str) -> None:
    for algorithm in ("ES256", "RS256", "ES256"):
        checked(jwks_runtime, stack.supabase.auth.sign(stack.supabase.auth.claims(user_id), algorithm))
    assert stack.supabase_server.count("auth.jwks") == 1


def test_a_new_key_is_found_within_5_seconds_and_made_up_ids_load_nothing_meanwhile(stack: Stack, clock: Later) -> None:
    keys = SigningKeys(stack.supabase_server.url, clock.clock)
    runtime = Runtime(config_from(stack.environment()))
    upstream = runtime.begin("test", "r", 5).upstream
    first = stack.supabase.auth.signing_key("ES256").id
    assert keys.find(first, upstream)

    stack.supabase.auth.rotate_key("ES256")
    second = stack.supabase.auth.signing_key("ES256").id
    assert keys.find(second, upstream) is None
    assert stack.supabase_server.count("auth.jwks") == 1
    clock.seconds += 5
    assert keys.find(second, upstream)
    for _ in range(5):
        assert keys.find(str(uuid.uuid4()), upstream) is None
    assert stack.supabase_server.count("auth.jwks") == 2

    stack.supabase.auth.rotate_key("ES256")
    clock.seconds += 594
    assert keys.find(second, upstream)
    assert stack.supabase_server.count("auth.jwks") == 2
    clock.seconds += 7
    assert keys.find(second, upstream) is None  # withdrawn, and forgotten within ten minutes
    assert stack.supabase_server.count("auth.jwks") == 3
    runtime.close()


@pytest.mark.parametrize("status", [404, 401, 500])
def test_forged_tokens_cost_next_to_nothing_while_the_keys_cannot_be_loaded(
    stack: Stack, jwks_runtime: Runtime, user_id: str, status: int
) -> None:
    token = stack.supabase.auth.sign(stack.supabase.auth.claims(user_id), "ES256")
    stack.supabase_server.inject(Fault("auth.jwks", status=status, times=None))
    for _ in range(12):
        with pytest.raises(KeysUnavailable):
            checked(jwks_runtime, token)
    assert stack.supabase_server.count("auth.jwks") <= 4


def test_callers_share_one_load_and_none_waits_beyond_its_own_deadline(
    stack: Stack, jwks_runtime: Runtime, user_id: str
) -> None:
    token = stack.supabase.auth.sign(stack.supabase.auth.claims(user_id), "ES256")
    stack.supabase_server.inject(Fault("auth.jwks", status=0, delay=2.5))
    with ThreadPoolExecutor(21) as threads:
        patient = [threads.submit(checked, jwks_runtime, token) for _ in range(20)]
        wait_for(lambda: jwks_runtime.signing_keys.is_loading)
        hurried = jwks_runtime.begin("test", "r", 0.1).upstream
        with pytest.raises(DeadlinePassed, match="while waiting for the signing keys;"):
            jwks_runtime.caller_check.user_id(token, hurried)
        assert not any(future.done() for future in patient)
    assert {future.result() for future in patient} == {user_id}
    assert stack.supabase_server.count("auth.jwks") == 1


def test_a_load_that_a_deadline_cuts_short_says_nothing_about_the_keys(
    stack: Stack, jwks_runtime: Runtime, user_id: str
) -> None:
    token = stack.supabase.auth.sign(stack.supabase.auth.claims(user_id), "ES256")
    with pytest.raises(DeadlinePassed):
        jwks_runtime.caller_check.user_id(token, jwks_runtime.begin("test", "r", 0).upstream)
    assert checked(jwks_runtime, token) == user_id


def test_a_token_of_the_shared_secret_never_waits_for_the_keys(stack: Stack, runtime: Runtime, user_id: str) -> None:
    stack.supabase_server.inject(Fault("auth.jwks", "hang"))
    foreign = stack.supabase.auth.sign(stack.supabase.auth.claims(user_id), "ES256")
    token = stack.supabase.auth.sign(stack.supabase.auth.claims(user_id))
    with ThreadPoolExecutor(1) as threads:
        hurried = runtime.begin("test", "r", 4).upstream
        waiting = threads.submit(runtime.caller_check.user_id, foreign, hurried)
        wait_for(lambda: runtime.signing_keys.is_loading)
        assert checked(runtime, token) == user_id
        assert not waiting.done()
        with pytest.raises((KeysUnavailable, DeadlinePassed)):
            waiting.result()


def test_every_fault_of_the_keys_ends_documented_in_time_and_is_over_with_the_fault() -> None:
    def problem(cell: tuple[str, int | None]) -> str | None:
        try:
            _break_the_keys(*cell)
        except Exception as error:  # noqa: BLE001 - named with its cell
            return f"{cell}: {error!r}"
        return None

    with ThreadPoolExecutor(10) as threads:
        found = list(filter(None, threads.map(problem, product(sorted(FAULTS), (1, None)))))
    assert not found, "\n".join(found)


def _break_the_keys(fault: str, times: int | None) -> None:
    clock = Later()
    with Stack() as stack, closing(_without_a_shared_secret(stack, clock.clock)) as runtime:
        user_id = stack.supabase.add_user("user@example.com")
        token = stack.supabase.auth.sign(stack.supabase.auth.claims(user_id), "ES256")
        stack.supabase_server.inject(replace(FAULTS[fault], call="auth.jwks", times=times))
        began = time.monotonic()
        with suppress(KeysUnavailable, DeadlinePassed):
            runtime.caller_check.user_id(token, runtime.begin("test", "r", 1.5).upstream)
        assert time.monotonic() - began < 4.5  # a load has five seconds
        stack.supabase_server.clear_faults()
        clock.seconds += 5
        assert checked(runtime, token) == user_id
