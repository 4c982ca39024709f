"""Attacks with keys: of the attacker, of another project, or those of the project itself sent as tokens."""

from __future__ import annotations

import base64
import uuid
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from emulator.stack import WPP_SECRET
from tests.support.forging import Forge, b64, loaded

if TYPE_CHECKING:
    from tests.support.forging import Named

ATTACKER_EC = ec.generate_private_key(ec.SECP256R1())
ATTACKER_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def key_ids() -> Named:
    yield "ES256 with the kid of the RSA key", lambda f: f.foreign(ATTACKER_EC, kid=f.key("RS256").id)
    yield "RS256 with the kid of the EC key", lambda f: f.foreign(ATTACKER_RSA, kid=f.key("ES256").id)
    yield "ES256 of the EC key, kid of the RSA key", lambda f: f.foreign(loaded(f.key("ES256")), kid=f.key("RS256").id)
    yield "RS256 of the RSA key, kid of the EC key", lambda f: f.foreign(loaded(f.key("RS256")), kid=f.key("ES256").id)
    odd: list[Any] = [..., None, 1, True, [], {}, "", "../../../../dev/null", "' or 1=1 --", "*", "\0", "x" * 3000, "☃"]
    for kid in odd:
        for key in (ATTACKER_EC, ATTACKER_RSA):
            kind = "EC" if key is ATTACKER_EC else "RSA"
            yield f"{str(kid)[:30]!r}, {kind}", lambda f, kid=kid, key=key: f.foreign(key, kid=kid)
    yield "an invented kid", lambda f: f.foreign(ATTACKER_EC, kid="11111111-1111-4111-8111-111111111111")
    yield "null bytes as the secret of a file kid", lambda f: f.hmac(b"\0", kid="/dev/zero")


def embedded_keys() -> Named:
    for key in (ATTACKER_EC, ATTACKER_RSA):
        algorithm = "ES256" if key is ATTACKER_EC else "RS256"
        jwk = _jwk(key)
        pem = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        brought = {
            "jwk": jwk,
            "jku": "https://attacker.example/jwks.json",
            "x5u": "https://attacker.example/cert.pem",
            "x5c": [base64.b64encode(pem).decode()],
        }
        for name, value in brought.items():
            for kid in ("ours", "theirs", "none"):

                def make(
                    f: Forge, n: str = name, v: Any = value, k: str = kid, key: Any = key, a: str = algorithm
                ) -> str:
                    named = {"ours": f.key(a).id, "theirs": "attacker", "none": ...}[k]
                    return f.foreign(key, kid=named, **{n: v})

                yield f"{name}, {algorithm}, kid {kid}", make
    symmetric = {"kty": "oct", "k": b64(b"attacker"), "kid": "attacker", "alg": "HS256"}
    yield "jwk with a symmetric key", lambda f: f.hmac(b"attacker", jwk=symmetric, kid="attacker")
    yield "jku that is a file", lambda f: f.foreign(ATTACKER_EC, kid="attacker", jku="file:///etc/passwd")
    yield (
        "jku on this machine",
        lambda f: f.foreign(ATTACKER_EC, kid="attacker", jku=f.project.stack.platform_server.url),
    )


def _jwk(key: Any) -> dict[str, str]:
    numbers = key.public_key().public_numbers()
    if isinstance(numbers, rsa.RSAPublicNumbers):
        return {"kty": "RSA", "n": b64(numbers.n.to_bytes(256, "big")), "e": "AQAB", "kid": "attacker"}
    x, y = numbers.x.to_bytes(32, "big"), numbers.y.to_bytes(32, "big")
    return {"kty": "EC", "crv": "P-256", "x": b64(x), "y": b64(y), "kid": "attacker"}


def keys_as_tokens() -> Named:
    far = 4102444800
    yield "the anon key", lambda f: f.project.stack.supabase.anon_key
    yield "the service key", lambda f: f.project.stack.supabase.service_role_key
    yield "the secret key", lambda f: f.project.stack.supabase.secret_key
    yield "the publishable key", lambda f: f.project.stack.supabase.publishable_key
    yield "the JWT secret", lambda f: f.secret.decode()
    yield "WPP_SECRET", lambda f: WPP_SECRET
    yield (
        "a service token with aud",
        lambda f: f.own(payload={"role": "service_role", "aud": "authenticated", "exp": far, "iss": "supabase"}),
    )
    yield "a service token with the user's sub", lambda f: f.own(payload=f.claims(role="service_role", exp=far))
    yield "an anon token with the user's sub", lambda f: f.own(payload=f.claims(role="anon", exp=far))
    yield "a service token signed as the project signs", lambda f: f.own(payload={"role": "service_role", "exp": far})
    yield "a platform token", _platform_token
    yield "a refresh token", lambda f: "v1.MnJ0b2tlbg"


def _platform_token(f: Forge) -> str:
    platform = f.project.stack.platform
    token = platform.token(platform.create(str(uuid.uuid4()), None).api_key)
    assert token is not None
    return token


def other_projects() -> Named:
    other = b"another-project-with-a-secret-of-its-own-0123456789"
    yield "its HS256 token", lambda f: f.hmac(other)
    yield "its HS256 token with our kid", lambda f: f.hmac(other, kid=f.key("ES256").id)
    yield "its ES256 token", lambda f: f.foreign(ATTACKER_EC, kid="22222222-2222-4222-8222-222222222222")
    yield "its RS256 token", lambda f: f.foreign(ATTACKER_RSA, kid="33333333-3333-4333-8333-333333333333")
    yield "its ES256 key under our kid", lambda f: f.foreign(ATTACKER_EC, kid=f.key("ES256").id)
    yield "its RS256 key under our kid", lambda f: f.foreign(ATTACKER_RSA, kid=f.key("RS256").id)
    yield "our secret with a letter changed", lambda f: f.hmac(f.secret[:-1] + b"X")
    yield "our secret cut short", lambda f: f.hmac(f.secret[:-1])
    yield "our secret with a newline", lambda f: f.hmac(f.secret + b"\n")
    yield "our secret in base64", lambda f: f.hmac(base64.b64encode(f.secret))
