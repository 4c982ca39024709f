"""Attacks by signature, and encrypted tokens in the place of signed ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.support.forging import Forge, b64, hmac_signature, loaded, part, private_signature, replaced

if TYPE_CHECKING:
    from tests.support.forging import Named


def signatures() -> Named:
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    numbers = {
        "r = s = 0": (0, 0),
        "r = 0, s = 1": (0, 1),
        "r = s = 1": (1, 1),
        "r = s = n": (order, order),
        "r = n, s = 0": (order, 0),
    }
    for name, (r, s) in numbers.items():
        raw = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        yield f"ES256 {name}", lambda f, raw=raw: f.signed("ES256", lambda _: raw, kid=f.key("ES256").id)
        der = encode_dss_signature(r, s)
        yield f"ES256 {name} as DER", lambda f, der=der: f.signed("ES256", lambda _: der, kid=f.key("ES256").id)
    yield "ES256 good, but as DER", lambda f: f.signed("ES256", lambda t: _der(f, t), kid=f.key("ES256").id)
    for name, raw in (
        ("zeros", b"\0" * 256),
        ("ones", b"\xff" * 256),
        ("the number one", b"\0" * 255 + b"\1"),
        ("empty", b""),
    ):
        yield f"RS256 {name}", lambda f, raw=raw: f.signed("RS256", lambda _: raw, kid=f.key("RS256").id)
    yield "HS256 zeros", lambda f: f.signed("HS256", lambda _: b"\0" * 32)
    yield "HS256 cut to 8 bytes", lambda f: f.signed("HS256", lambda t: hmac_signature(f.secret, t)[:8])
    yield "one bit flipped", _flipped
    yield "of another token", lambda f: replaced(f.own(), 2, f.own(payload=f.claims(x=1)).split(".")[2])
    yield (
        "of the claims before they were changed",
        lambda f: replaced(f.own(), 1, part(f.claims(sub=f.claims()["session_id"]))),
    )
    yield "of the header before it was changed", lambda f: replaced(f.own(), 0, part(f.header(x=1)))


def _der(f: Forge, text: str) -> bytes:
    raw = private_signature(loaded(f.key("ES256")), text)
    return encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))


def _flipped(f: Forge) -> str:
    text = f.unsigned()
    raw = f.signature(text)
    return f"{text}.{b64(bytes([raw[0] ^ 1]) + raw[1:])}"


def encrypted() -> Named:
    yield "dir, A256GCM", lambda f: _jwe(f, {"alg": "dir", "enc": "A256GCM"}, b"")
    yield "RSA-OAEP for our public key", _for_our_key
    yield "five segments, our alg", lambda f: _jwe(f, f.header(enc="A256GCM"), b"")
    yield "three segments, alg dir", lambda f: _jwe(f, {"alg": "dir", "enc": "A256GCM"}, b"").replace("..", ".", 1)


def _jwe(f: Forge, header: Any, encrypted_key: bytes) -> str:
    first = part(header)
    sealed = AESGCM(b"k" * 32).encrypt(b"n" * 12, part(f.claims()).encode(), first.encode())
    return ".".join([first, b64(encrypted_key), b64(b"n" * 12), b64(sealed[:-16]), b64(sealed[-16:])])


def _for_our_key(f: Forge) -> str:
    public = loaded(f.key("RS256")).public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    wrapped = public.encrypt(b"k" * 32, padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None))
    return _jwe(f, {"alg": "RSA-OAEP", "enc": "A256GCM", "kid": f.key("RS256").id}, wrapped)
