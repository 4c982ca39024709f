"""The check of a Supabase project: which API key is whose, and whether its signing keys can be used."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from jose import jwt

from emulator.faults import Fault
from tests.support.supabase_check import outcomes, problems

if TYPE_CHECKING:
    from emulator.stack import Stack

pytestmark = pytest.mark.slow
CURVE = {"kty": "EC", "crv": "P-256", "use": "sig", "kid": "one"}


def test_swapped_keys_are_found(product: Stack) -> None:
    project = product.supabase
    swapped = {"SUPABASE_SERVICE_ROLE_KEY": project.anon_key, "SUPABASE_ANON_KEY": project.service_role_key}
    found = problems(product, **swapped)
    assert found["service key"] == [
        "SUPABASE_SERVICE_ROLE_KEY holds a key of the role anon, not service_role: are the keys swapped?"
    ]
    assert found["anon key"] == [
        "SUPABASE_ANON_KEY holds a key of the role service_role, not anon: are the keys swapped?"
    ]


def test_swapped_keys_of_the_new_kind_are_found(product: Stack) -> None:
    project = product.supabase
    swapped = {"SUPABASE_SERVICE_ROLE_KEY": project.publishable_key, "SUPABASE_ANON_KEY": project.secret_key}
    found = problems(product, **swapped)
    assert "role anon, not service_role" in found["service key"][0]
    assert "role service_role, not anon" in found["anon key"][0]


def test_keys_of_the_new_kind_are_told_by_their_prefix(product: Stack) -> None:
    keys = {
        "SUPABASE_SERVICE_ROLE_KEY": product.supabase.secret_key,
        "SUPABASE_ANON_KEY": product.supabase.publishable_key,
    }
    assert not {"service key", "anon key"} & set(problems(product, **keys))


def test_without_an_anon_key_it_is_not_checked(product: Stack) -> None:
    found = outcomes(product, SUPABASE_ANON_KEY="")
    assert not found["anon key"].was_checked
    assert not found["anybody"].was_checked


def test_a_key_of_another_project_is_found(product: Stack) -> None:
    foreign = jwt.encode({"role": "anon", "exp": 4102444800}, "another secret", "HS256")
    assert problems(product, SUPABASE_ANON_KEY=foreign)["anon key"] == ["the gateway does not accept SUPABASE_ANON_KEY"]


def test_a_key_that_envoy_does_not_know_is_found(product: Stack) -> None:
    product.supabase_server.inject(Fault("auth.user", status=401, body=b"Unauthorized", times=None))
    found = problems(product)
    assert found["service key"] == ["the gateway does not accept SUPABASE_SERVICE_ROLE_KEY"]
    assert found["anon key"] == ["the gateway does not accept SUPABASE_ANON_KEY"]


def test_a_key_that_has_expired_is_found(product: Stack) -> None:
    expired = jwt.encode({"role": "anon", "exp": 1700000000}, product.supabase.jwt_secret, "HS256")
    assert "SUPABASE_ANON_KEY has expired" in problems(product, SUPABASE_ANON_KEY=expired)["anon key"]


@pytest.mark.parametrize("key", ["a-password", jwt.encode({"iss": "supabase"}, "secret", "HS256")])
def test_what_is_not_an_api_key_is_found(product: Stack, key: str) -> None:
    found = problems(product, SUPABASE_ANON_KEY=key)["anon key"]
    assert found == ["SUPABASE_ANON_KEY is neither a JWT with a role nor an sb_… key"]


def test_without_signing_keys_the_jwt_secret_is_named(product: Stack) -> None:
    product.supabase_server.inject(Fault("auth.jwks", status=200, body=b'{"keys": []}'))
    found = outcomes(product)["signing keys"]
    assert not found.findings
    assert "SUPABASE_JWT_SECRET" in found.summary


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_signing_keys_that_the_functions_take_are_all_right(product: Stack, algorithm: str) -> None:
    product.supabase.auth.signing_key(algorithm)
    assert "signing keys" not in problems(product)


@pytest.mark.parametrize(
    "key",
    [
        {**CURVE, "x": "AAAA", "y": "AAAA"},  # not a point of the curve
        {**CURVE, "crv": "P-384", "alg": "ES384"},
        {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": "AAAA", "kid": "one"},
        {"kty": "oct", "alg": "HS256", "k": "AAAA", "kid": "one"},
    ],
)
def test_a_signing_key_that_the_functions_cannot_use_is_named(product: Stack, key: dict[str, Any]) -> None:
    good = product.supabase.auth.signing_key("ES256").public()
    product.supabase_server.inject(Fault("auth.jwks", status=200, body=json.dumps({"keys": [good, key]}).encode()))
    assert problems(product)["signing keys"] == ["signing key one cannot be used, nor any token signed with it"]


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        (404, b'{"keys": []}', "the public keys cannot be read: status 404"),
        (200, b"<html>", "Supabase answered without a list of keys"),
    ],
)
def test_signing_keys_that_cannot_be_read_are_found(product: Stack, status: int, body: bytes, problem: str) -> None:
    product.supabase_server.inject(Fault("auth.jwks", status=status, body=body))
    (found,) = problems(product)["signing keys"]
    assert found.startswith(problem)
