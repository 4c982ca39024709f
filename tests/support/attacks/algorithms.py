"""Attacks by what the header says of the algorithm: none, another one, or a public key taken for a secret."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from tests.support.attacks.keys import ATTACKER_RSA
from tests.support.forging import Forge, b64, loaded, part, private_signature, public_forms

if TYPE_CHECKING:
    from tests.support.forging import Named


def alg_none() -> Named:
    spellings: list[Any] = [
        "none",
        "None",
        "NONE",
        "nOnE",
        "none ",
        " none",
        "none\0",
        "",
        None,
        ...,
        [],
        ["none"],
        {},
        0,
        True,
    ]
    for spelling in spellings:
        yield f"{spelling!r} unsigned", lambda f, s=spelling: f.unsigned(f.header(alg=s)) + "."
        yield f"{spelling!r} with a good signature", lambda f, s=spelling: f.own(f.header(alg=s))
    yield "none without the last point", lambda f: f.unsigned(f.header(alg="none"))
    yield "none with an invented signature", lambda f: f.unsigned(f.header(alg="none")) + ".AAAA"
    yield "the project's alg, unsigned", lambda f: f.unsigned() + "."


def key_confusion() -> Named:
    for algorithm in ("ES256", "RS256"):
        forms = [
            "PEM",
            "PEM without the last newline",
            "PEM with CRLF",
            "DER",
            "base64 of the DER",
            "JWK",
            "compact JWK",
        ]
        forms += ["sorted JWK", "whole JWKS", "kid", "first number", "PKCS#1 PEM" if algorithm == "RS256" else "point"]
        for form in forms:

            def make(f: Forge, form: str = form, algorithm: str = algorithm) -> str:
                return f.hmac(public_forms(f.key(algorithm))[form], kid=f.key(algorithm).id)

            yield f"HS256 with the {algorithm} key's {form}", make
    for name, key in (("an empty", b""), ("the word secret as", b"secret"), ("null bytes as", b"\0" * 32)):
        yield f"HS256 with {name} key", lambda f, k=key: f.hmac(k)
    yield "HS256 with the anon key as key", lambda f: f.hmac(f.project.stack.supabase.anon_key.encode())
    yield "HS256 with the user's id as key", lambda f: f.hmac(f.project.victim.user_id.encode())
    yield "HS256 with the project's address as key", lambda f: f.hmac(f.project.stack.supabase_server.url.encode())


def other_algorithms() -> Named:
    for name in ("HS384", "HS512"):
        yield f"{name} with the project's secret", lambda f, n=name: f.hmac(f.secret, n)
    others = [
        "RS384",
        "RS512",
        "PS256",
        "PS384",
        "ES384",
        "ES512",
        "ES256K",
        "EdDSA",
        "dir",
        "A128KW",
        "RSA-OAEP",
        "HS1",
        "hs256",
    ]
    for name in others:
        yield f"{name} in the header", lambda f, n=name: f.own(f.header(alg=n))
    yield "ES256 named for an RSA signature", lambda f: _mixed(f, "ES256", "RS256")
    yield "RS256 named for an EC signature", lambda f: _mixed(f, "RS256", "ES256")
    yield "HS256 named for an RSA signature", lambda f: _mixed(f, "HS256", "RS256")
    yield "PSS padding", lambda f: f.signed("RS256", _pss)


def _mixed(f: Forge, named: str, signed: str) -> str:
    return f.signed(named, lambda text: private_signature(loaded(f.key(signed)), text), kid=f.key(signed).id)


def _pss(text: str) -> bytes:
    return ATTACKER_RSA.sign(text.encode(), padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())


def odd_headers() -> Named:
    odd: list[Any] = [["exp"], ["b64"], ["invented"], [], None, "exp", {}, 1]
    for crit in odd:
        yield f"crit {crit!r}", lambda f, c=crit: f.own(f.header(crit=c))
    yield "crit b64 with b64 false", lambda f: f.own(f.header(crit=["b64"], b64=False))
    yield "b64 false", _unencoded
    yield (
        "compressed payload (zip)",
        lambda f: f.own(f.header(zip="DEF"), zlib.compress(json.dumps(f.claims()).encode())),
    )
    yield "a token in a token (cty)", lambda f: f.own(f.header(cty="JWT"), f.own())


def _unencoded(f: Forge) -> str:
    text = f"{part(f.header(b64=False))}.{json.dumps(f.claims(), separators=(',', ':'))}"
    return f"{text}.{b64(f.signature(text))}"
