"""Tokens put together byte by byte, right or wrong, without a JWT library."""

from __future__ import annotations

import base64
import hmac
import json
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from emulator.supabase.auth import SigningKey
    from tests.support.projects import Project

    # Tokens by name, each with what makes it for a project. Not Callable[[Forge], str]: mypy cannot infer lambdas that bind
    # loop variables as defaults.
    Named = Iterator[tuple[str, Any]]

Private = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_DIGESTS = {"256": "sha256", "384": "sha384", "512": "sha512"}


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def part(value: Any) -> str:
    """A segment of a token: text and bytes as they are, anything else as JSON."""
    if isinstance(value, str):
        value = value.encode()
    return b64(value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode())


def replaced(token: str, index: int, segment: str) -> str:
    segments = token.split(".")
    segments[index] = segment
    return ".".join(segments)


def hmac_signature(key: bytes, text: str, digest: str = "sha256") -> bytes:
    return hmac.new(key, text.encode(), digest).digest()


def private_signature(key: Private, text: str) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
    r, s = decode_dss_signature(key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


@cache
def loaded(key: SigningKey) -> Private:
    private = serialization.load_pem_private_key(key.private.encode(), None)
    assert isinstance(private, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey))
    return private


def public_forms(key: SigningKey) -> dict[str, bytes]:
    """Everything public that somebody may try as an HMAC secret."""
    public = loaded(key).public_key()
    kinds = serialization.PublicFormat
    pem = public.public_bytes(serialization.Encoding.PEM, kinds.SubjectPublicKeyInfo)
    jwk = key.public()
    forms = {
        "PEM": pem,
        "PEM without the last newline": pem.strip(),
        "PEM with CRLF": pem.replace(b"\n", b"\r\n"),
        "DER": public.public_bytes(serialization.Encoding.DER, kinds.SubjectPublicKeyInfo),
        "base64 of the DER": b"".join(pem.splitlines()[1:-1]),
        "JWK": json.dumps(jwk).encode(),
        "compact JWK": json.dumps(jwk, separators=(",", ":")).encode(),
        "sorted JWK": json.dumps(jwk, sort_keys=True).encode(),
        "whole JWKS": json.dumps({"keys": [jwk]}).encode(),
        "kid": key.id.encode(),
        "first number": str(jwk.get("n") or jwk.get("x")).encode(),
    }
    if isinstance(public, rsa.RSAPublicKey):
        forms["PKCS#1 PEM"] = public.public_bytes(serialization.Encoding.PEM, kinds.PKCS1)
    else:
        forms["point"] = public.public_bytes(serialization.Encoding.X962, kinds.UncompressedPoint)
    return forms


@dataclass
class Forge:
    """What an attacker, or the project itself, can make for one project."""

    project: Project

    @property
    def algorithm(self) -> str:
        return self.project.algorithm

    @property
    def secret(self) -> bytes:
        return self.project.stack.supabase.jwt_secret.encode()

    def key(self, algorithm: str | None = None) -> SigningKey:
        return self.project.stack.supabase.auth.signing_key(algorithm or self.algorithm)

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Those of a user who may come in, with a session that lives; `...` leaves one out."""
        return self.project.stack.supabase.auth.claims(self.project.victim.user_id, **changed)

    def header(self, **changed: Any) -> dict[str, Any]:
        """As the project itself writes it; `...` leaves a member out."""
        named = {} if self.algorithm == "HS256" else {"kid": self.key().id}
        header = {"alg": self.algorithm, "typ": "JWT", **named, **changed}
        return {name: value for name, value in header.items() if value is not ...}

    def signature(self, text: str) -> bytes:
        """By the project's own key."""
        if self.algorithm == "HS256":
            return hmac_signature(self.secret, text)
        return private_signature(loaded(self.key()), text)

    def own(self, header: Any = None, payload: Any = None) -> str:
        """Signed by the project itself, whatever it says."""
        text = self.unsigned(header, payload)
        return f"{text}.{b64(self.signature(text))}"

    def signed(self, algorithm: str, sign: Callable[[str], bytes], **header: Any) -> str:
        """With `algorithm` in the header, and the signature that `sign` makes of the first two segments."""
        text = self.unsigned(self.header(alg=algorithm, **header))
        return f"{text}.{b64(sign(text))}"

    def unsigned(self, header: Any = None, payload: Any = None) -> str:
        return (
            f"{part(self.header() if header is None else header)}.{part(self.claims() if payload is None else payload)}"
        )

    def hmac(self, key: bytes, algorithm: str = "HS256", **header: Any) -> str:
        text = self.unsigned(self.header(alg=algorithm, **header))
        return f"{text}.{b64(hmac_signature(key, text, _DIGESTS[algorithm[-3:]]))}"

    def foreign(self, key: Private, **header: Any) -> str:
        """Signed by a key that is not the project's."""
        algorithm = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
        text = self.unsigned(self.header(**{"alg": algorithm, **header}))
        return f"{text}.{b64(private_signature(key, text))}"
