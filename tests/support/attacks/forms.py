"""Attacks by form: segments, base64 and JSON that another reader may take for something else."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from tests.support.forging import Forge, replaced

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.forging import Named


def broken_forms() -> Named:
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
    yield "with empty claims", lambda f: replaced(f.own(), 1, "")
    yield "with an empty header", lambda f: replaced(f.own(), 0, "")
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


def odd_base64() -> Named:
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
                return replaced(f.own(), index, f.own().split(".")[index] + junk) if index < 2 else f.own() + junk

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


def odd_json() -> Named:
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
    yield "claims: a second sub, of nobody", lambda f: f.own(payload=json.dumps(f.claims())[:-1] + ',"sub":"*"}')
    yield "header: a second alg none", lambda f: f.own(header=json.dumps(f.header())[:-1] + ',"alg":"none"}')
    yield (
        "header: alg none, then the right one, unsigned",
        lambda f: f.unsigned('{"alg":"none",' + json.dumps(f.header())[1:]) + ".",
    )
    deep = b'{"x":' + b"[" * 2400 + b"]" * 2400 + b","
    yield "claims: good ones, and a deep one", lambda f: f.own(payload=deep + json.dumps(f.claims())[1:].encode())
    yield "header: a good one, and a deep member", lambda f: f.own(header=deep + json.dumps(f.header())[1:].encode())
