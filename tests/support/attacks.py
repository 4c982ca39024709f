"""Every attack on a token as a name, a kind, and what makes it for a project."""

from __future__ import annotations

import base64
import json
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from emulator.stack import WPP_SECRET
from tests.support.forging import Forge, b64, hmac_signature, loaded, part, private_signature, public_forms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    # Not Callable[[Forge], str]: mypy cannot infer lambdas that bind loop variables as defaults.
    Named = Iterator[tuple[str, Any]]

_EC = ec.generate_private_key(ec.SECP256R1())
_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
_HUGE = 10**400  # no float can hold it


@dataclass(frozen=True)
class Attack:
    kind: str
    name: str
    make: Callable[[Forge], str]

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}"


def attacks() -> list[Attack]:
    groups = {
        "alg none": _none(),
        "key confusion": _confusion(),
        "another algorithm": _algorithms(),
        "kid": _key_ids(),
        "embedded key (jwk, jku, x5u, x5c)": _embedded(),
        "crit and other headers": _headers(),
        "odd time (exp, nbf, iat)": _times(),
        "odd aud": _audiences(),
        "odd sub": _subjects(),
        "odd role": _roles(),
        "keys as tokens": _keys(),
        "another project's token": _projects(),
        "broken form": _forms(),
        "odd base64": _encodings(),
        "odd JSON": _json(),
        "signature": _signatures(),
        "JWE": _encrypted(),
    }
    return [Attack(kind, name, make) for kind, made in groups.items() for name, make in made]


def _none() -> Named:
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
    yield "none with a made-up signature", lambda f: f.unsigned(f.header(alg="none")) + ".AAAA"
    yield "the project's alg, unsigned", lambda f: f.unsigned() + "."


def _confusion() -> Named:
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


def _algorithms() -> Named:
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
    yield "PSS padding", lambda f: _signed(f, "RS256", _pss)


def _mixed(f: Forge, named: str, signed: str) -> str:
    return _signed(f, named, lambda text: private_signature(loaded(f.key(signed)), text), kid=f.key(signed).id)


def _signed(f: Forge, algorithm: str, sign: Callable[[str], bytes], **header: Any) -> str:
    text = f.unsigned(f.header(alg=algorithm, **header))
    return f"{text}.{b64(sign(text))}"


def _pss(text: str) -> bytes:
    return _RSA.sign(text.encode(), padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())


def _key_ids() -> Named:
    yield "ES256 with the kid of the RSA key", lambda f: f.foreign(_EC, kid=f.key("RS256").id)
    yield "RS256 with the kid of the EC key", lambda f: f.foreign(_RSA, kid=f.key("ES256").id)
    yield "ES256 of the EC key, kid of the RSA key", lambda f: f.foreign(loaded(f.key("ES256")), kid=f.key("RS256").id)
    yield "RS256 of the RSA key, kid of the EC key", lambda f: f.foreign(loaded(f.key("RS256")), kid=f.key("ES256").id)
    odd: list[Any] = [..., None, 1, True, [], {}, "", "../../../../dev/null", "' or 1=1 --", "*", "\0", "x" * 3000, "☃"]
    for kid in odd:
        for key in (_EC, _RSA):
            kind = "EC" if key is _EC else "RSA"
            yield f"{str(kid)[:30]!r}, {kind}", lambda f, kid=kid, key=key: f.foreign(key, kid=kid)
    yield "a made-up kid", lambda f: f.foreign(_EC, kid="11111111-1111-4111-8111-111111111111")
    yield "null bytes as the secret of a file kid", lambda f: f.hmac(b"\0", kid="/dev/zero")


def _embedded() -> Named:
    for key in (_EC, _RSA):
        algorithm = "ES256" if key is _EC else "RS256"
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
    yield "jku that is a file", lambda f: f.foreign(_EC, kid="attacker", jku="file:///etc/passwd")
    yield "jku on this machine", lambda f: f.foreign(_EC, kid="attacker", jku=f.project.stack.platform_server.url)


def _jwk(key: Any) -> dict[str, str]:
    numbers = key.public_key().public_numbers()
    if isinstance(numbers, rsa.RSAPublicNumbers):
        return {"kty": "RSA", "n": b64(numbers.n.to_bytes(256, "big")), "e": "AQAB", "kid": "attacker"}
    x, y = numbers.x.to_bytes(32, "big"), numbers.y.to_bytes(32, "big")
    return {"kty": "EC", "crv": "P-256", "x": b64(x), "y": b64(y), "kid": "attacker"}


def _headers() -> Named:
    odd: list[Any] = [["exp"], ["b64"], ["made-up"], [], None, "exp", {}, 1]
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


def _times() -> Named:
    now = int(time.time())
    odd: list[Any] = [
        None,
        "",
        "x",
        [],
        {},
        [now + 999],
        True,
        False,
        _HUGE,
        -_HUGE,
        float("inf"),
        float("-inf"),
        float("nan"),
    ]
    for claim in ("exp", "nbf", "iat"):
        for value in odd:
            yield f"{claim} {str(value)[:12]!r}", lambda f, c=claim, v=value: f.own(payload=f.claims(**{c: v}))
        yield (
            f"{claim} as text",
            lambda f, c=claim: f.own(payload=f.claims(**{c: str(now + (900 if c == "exp" else -9))})),
        )
        yield f"{claim} 1e999", lambda f, c=claim: f.own(payload=_with(f, c, "1e999"))
        yield f"{claim} of 5000 digits", lambda f, c=claim: f.own(payload=_with(f, c, "9" * 5000))
    for name, value in (
        ("missing", ...),
        ("just past", now - 30),
        ("long past", 1),
        ("0", 0),
        ("-1", -1),
        ("-0.0", -0.0),
    ):
        yield f"exp {name}", lambda f, v=value: f.own(payload=f.claims(exp=v))
    for name, ahead in (("in a minute", 60), ("tomorrow", 86400)):
        yield f"nbf {name}", lambda f, a=ahead: f.own(payload=f.claims(nbf=int(time.time()) + a))


def _with(f: Forge, claim: str, text: str) -> str:
    """Claims with a number in them that no Python value makes."""
    return json.dumps(f.claims(**{claim: "@"})).replace('"@"', text)


def _audiences() -> Named:
    odd: list[Any] = [
        ...,
        None,
        "",
        "anon",
        "Authenticated",
        " authenticated",
        "authenticated\0",
        [],
        ["anon"],
        [["authenticated"]],
    ]
    odd += [
        ["authenticated", 1],
        ["authenticated", None],
        {},
        {"authenticated": 1},
        1,
        True,
        "supabase",
        "https://other.example",
    ]
    for value in odd:
        yield f"{value!r}", lambda f, v=value: f.own(payload=f.claims(aud=v))


def _subjects() -> Named:
    odd: list[Any] = [..., None, "", " ", 1, True, [], {}, "0", "admin", "null", "*", "not-a-uuid"]
    for value in odd:
        yield f"{value!r}", lambda f, v=value: f.own(payload=f.claims(sub=v))
    around = [
        "{0}&organization_id=is.null", "{0}&select=*", "eq.{0}", "in.({0})", "{0},{0}", "({0})", "neq.{0}", "not.is.null",
        "like.*",
        "{0}#", "{0}?", "{0}/", "{0}%26select%3D*", "{0}%00", "{0}\0", "{0}\n", "\n{0}", " {0}", "{0} ", "{0}\r\nX-Injected: 1",
        "urn:uuid:{0}", "{{{0}}}", '"{0}"', "{0}\u200b", "{0}' or '1'='1", "{0};drop table profiles", "../{0}", "{0}::text",
    ]  # fmt: skip
    for value in around:
        yield f"{value!r}", lambda f, v=value: f.own(payload=f.claims(sub=v.format(f.project.victim.user_id)))
    changed: list[tuple[str, Callable[[str], Any]]] = [
        ("without hyphens", lambda u: u.replace("-", "")),
        ("in upper case", lambda u: ("a" + u[1:]).upper()),
        ("with Arabic digits", lambda u: u.translate({ord(str(d)): chr(0x660 + d) for d in range(10)})),
        ("with fullwidth digits", lambda u: u.translate({ord(str(d)): chr(0xFF10 + d) for d in range(10)})),
        ("with long hyphens", lambda u: u.replace("-", "\u2013")),
        ("in a list", lambda u: [u]),
        ("in an object", lambda u: {"eq": u}),
        ("a hundred times", lambda u: u * 100),
        ("cut short", lambda u: u[:-1]),
    ]
    for name, change in changed:
        yield f"the user's id {name}", lambda f, c=change: f.own(payload=f.claims(sub=c(f.project.victim.user_id)))


def _roles() -> Named:
    odd: list[Any] = [
        ...,
        None,
        "",
        "anon",
        "service_role",
        "postgres",
        "supabase_admin",
        "dashboard_user",
        "Authenticated",
    ]
    odd += ["authenticated ", "authenticated\0", ["authenticated"], {"authenticated": 1}, True, 1]
    for value in odd:
        yield f"{value!r}", lambda f, v=value: f.own(payload=f.claims(role=v))


def _keys() -> Named:
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
    yield "a platform token", lambda f: f.project.stack.platform._signing_secret
    yield "a refresh token", lambda f: "v1.MnJ0b2tlbg"


def _projects() -> Named:
    other = b"another-project-with-a-secret-of-its-own-0123456789"
    yield "its HS256 token", lambda f: f.hmac(other)
    yield "its HS256 token with our kid", lambda f: f.hmac(other, kid=f.key("ES256").id)
    yield "its ES256 token", lambda f: f.foreign(_EC, kid="22222222-2222-4222-8222-222222222222")
    yield "its RS256 token", lambda f: f.foreign(_RSA, kid="33333333-3333-4333-8333-333333333333")
    yield "its ES256 key under our kid", lambda f: f.foreign(_EC, kid=f.key("ES256").id)
    yield "its RS256 key under our kid", lambda f: f.foreign(_RSA, kid=f.key("RS256").id)
    yield "our secret with a letter changed", lambda f: f.hmac(f.secret[:-1] + b"X")
    yield "our secret cut short", lambda f: f.hmac(f.secret[:-1])
    yield "our secret with a newline", lambda f: f.hmac(f.secret + b"\n")
    yield "our secret in base64", lambda f: f.hmac(base64.b64encode(f.secret))


def _forms() -> Named:
    fixed = [
        ".",
        "..",
        "...",
        "....",
        "a",
        "a.b",
        "a.b.c",
        "e30.e30.",
        "e30.e30.e30",
        "null",
        "undefined",
        "[object",
        "{}",
        '""',
    ]
    for text in fixed:
        yield repr(text), lambda f, t=text: t
    yield "without a signature", lambda f: f.own().rsplit(".", 1)[0]
    yield "with an empty signature", lambda f: f.own().rsplit(".", 1)[0] + "."
    yield "without claims", lambda f: _joined(f.own(), 0, 2)
    yield "with empty claims", lambda f: _replaced(f.own(), 1, "")
    yield "with an empty header", lambda f: _replaced(f.own(), 0, "")
    yield "only the header", lambda f: f.own().split(".")[0]
    yield "only the claims", lambda f: f.own().split(".")[1]
    yield "half of it", lambda f: f.own()[: len(f.own()) // 2]
    yield "half of the signature", lambda f: f.own()[:-20]
    yield "one character short", lambda f: f.own()[:-1]
    yield "one segment too many", lambda f: f.own() + ".e30"
    yield "a point in front", lambda f: "." + f.own()
    yield "a point behind", lambda f: f.own() + "."
    yield "twice", lambda f: f.own() + f.own()
    yield "twice with a comma", lambda f: f"{f.own()},{f.own()}"
    yield "in quotes", lambda f: f'"{f.own()}"'
    yield (
        "as JWS JSON",
        lambda f: json.dumps(dict(zip(("protected", "payload", "signature"), f.own().split("."), strict=True))),
    )
    yield "as an URL", lambda f: f"https://app.example/#access_token={f.own()}"
    yield "percent-encoded", lambda f: f.own().replace(".", "%2E")
    yield "larger than any token", _too_large
    yield "thousands of points", lambda f: "." * 8000
    yield "thousands of letters", lambda f: "A" * 8000


def _too_large(f: Forge) -> str:
    """Good in every other way, and small enough for the server to hand it on."""
    return f.own(payload=f.claims(filler="x" * ((8090 - len(f.own())) * 3 // 4)))


def _joined(token: str, *indices: int) -> str:
    segments = token.split(".")
    return ".".join(segments[i] for i in indices)


def _replaced(token: str, index: int, text: str) -> str:
    segments = token.split(".")
    segments[index] = text
    return ".".join(segments)


def _encodings() -> Named:
    for name, junk in (
        ("!", "!"),
        ("a comma", ","),
        ("a tilde", "~"),
        ("=", "="),
        ("==", "=="),
        ("é", "é"),
        ("a slash", "/"),
        ("+", "+"),
    ):
        for index, where in enumerate(("header", "claims", "signature")):

            def behind(f: Forge, index: int = index, junk: str = junk) -> str:
                return _replaced(f.own(), index, f.own().split(".")[index] + junk) if index < 2 else f.own() + junk

            yield f"{name} behind the {where}", behind
    yield "! within the signature", lambda f: f.own()[:-9] + "!" + f.own()[-9:]
    yield "a comma behind a good token", lambda f: f.project.victim.token + ","
    yield "junk within a good signature", lambda f: f.project.victim.token[:-9] + "!" + f.project.victim.token[-9:]
    yield "junk in a good header", lambda f: "!" + f.project.victim.token
    yield "idle bits of a good signature set", lambda f: _idle_bits(f.project.victim.token)
    yield "hexadecimal signature", lambda f: _resigned(f, lambda s: s.hex())
    yield "signature in plain base64", lambda f: _resigned(f, lambda s: base64.b64encode(s).decode() + "=")


def _idle_bits(token: str) -> str:
    """The last character changed where only bits are changed that carry nothing."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + alphabet[alphabet.index(token[-1]) + 1]


def _resigned(f: Forge, encode: Callable[[bytes], str]) -> str:
    text = f.unsigned()
    return f"{text}.{encode(f.signature(text))}"


def _json() -> Named:
    odd: list[tuple[str, bytes]] = [
        ("a list", b"[]"), ("a string", b'"x"'), ("null", b"null"), ("a number", b"1"), ("true", b"true"), ("nothing", b""),
        ("no JSON", b"{"),
        ("two objects", b"{}{}"), ("invalid UTF-8", b'{"sub":"\xff"}'), ("UTF-16",
         '{"sub":"x"}'.encode("utf-16")),
        ("deep lists", b"[" * 2500 + b"]" * 2500), ("deep objects", b'{"":' * 1050 + b"1" + b"}" * 1050),
        ("null bytes", b"\0" * 40),
        ("a lone surrogate", b'{"sub":"\\ud800"}'), ("an empty object", b"{}"), ("single quotes", b"{'sub':'x'}"),
    ]  # fmt: skip
    for name, data in odd:
        yield f"claims: {name}", lambda f, d=data: f.own(payload=d)
        yield f"header: {name}", lambda f, d=data: f.own(header=d)
    yield "claims: a byte order mark", lambda f: f.own(payload="\ufeff" + json.dumps(f.claims()))
    yield "claims: a second sub that is none", lambda f: f.own(payload=json.dumps(f.claims())[:-1] + ',"sub":"*"}')
    yield "header: a second alg none", lambda f: f.own(header=json.dumps(f.header())[:-1] + ',"alg":"none"}')
    yield (
        "header: alg none, then the right one, unsigned",
        lambda f: f.unsigned('{"alg":"none",' + json.dumps(f.header())[1:]) + ".",
    )
    deep = b'{"x":' + b"[" * 2400 + b"]" * 2400 + b","
    yield "claims: good ones, and a deep one", lambda f: f.own(payload=deep + json.dumps(f.claims())[1:].encode())
    yield "header: a good one, and a deep member", lambda f: f.own(header=deep + json.dumps(f.header())[1:].encode())


def _signatures() -> Named:
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
        yield f"ES256 {name}", lambda f, raw=raw: _signed(f, "ES256", lambda _: raw, kid=f.key("ES256").id)
        der = encode_dss_signature(r, s)
        yield f"ES256 {name} as DER", lambda f, der=der: _signed(f, "ES256", lambda _: der, kid=f.key("ES256").id)
    yield "ES256 good, but as DER", lambda f: _signed(f, "ES256", lambda t: _der(f, t), kid=f.key("ES256").id)
    for name, raw in (
        ("zeros", b"\0" * 256),
        ("ones", b"\xff" * 256),
        ("the number one", b"\0" * 255 + b"\1"),
        ("empty", b""),
    ):
        yield f"RS256 {name}", lambda f, raw=raw: _signed(f, "RS256", lambda _: raw, kid=f.key("RS256").id)
    yield "HS256 zeros", lambda f: _signed(f, "HS256", lambda _: b"\0" * 32)
    yield "HS256 cut to 8 bytes", lambda f: _signed(f, "HS256", lambda t: hmac_signature(f.secret, t)[:8])
    yield "one bit flipped", _flipped
    yield "of another token", lambda f: _replaced(f.own(), 2, f.own(payload=f.claims(x=1)).split(".")[2])
    yield (
        "of the claims before they were changed",
        lambda f: _replaced(f.own(), 1, part(f.claims(sub=f.claims()["session_id"]))),
    )
    yield "of the header before it was changed", lambda f: _replaced(f.own(), 0, part(f.header(x=1)))


def _der(f: Forge, text: str) -> bytes:
    raw = private_signature(loaded(f.key("ES256")), text)
    return encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))


def _flipped(f: Forge) -> str:
    text = f.unsigned()
    raw = f.signature(text)
    return f"{text}.{b64(bytes([raw[0] ^ 1]) + raw[1:])}"


def _encrypted() -> Named:
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
