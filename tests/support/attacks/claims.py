"""Attacks by claims that the project's own key signed: odd times, audiences, subjects, roles."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.forging import Forge, Named

_HUGE = 10**400  # no float can hold it


def odd_times() -> Named:
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


def odd_audiences() -> Named:
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


def odd_subjects() -> Named:
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


def odd_roles() -> Named:
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
