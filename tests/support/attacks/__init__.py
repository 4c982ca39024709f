"""Every attack on a token: its kind, its name, and what makes the token for a project."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.attacks import algorithms, claims, forms, keys, signatures

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.forging import Forge


@dataclass(frozen=True)
class Attack:
    kind: str
    name: str
    make: Callable[[Forge], str]

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}"


def attacks() -> list[Attack]:
    kinds = {
        "alg none": algorithms.alg_none(),
        "key confusion": algorithms.key_confusion(),
        "another algorithm": algorithms.other_algorithms(),
        "crit and other headers": algorithms.odd_headers(),
        "kid": keys.key_ids(),
        "embedded key (jwk, jku, x5u, x5c)": keys.embedded_keys(),
        "keys as tokens": keys.keys_as_tokens(),
        "another project's token": keys.other_projects(),
        "odd time (exp, nbf, iat)": claims.odd_times(),
        "odd aud": claims.odd_audiences(),
        "odd sub": claims.odd_subjects(),
        "odd role": claims.odd_roles(),
        "broken form": forms.broken_forms(),
        "odd base64": forms.odd_base64(),
        "odd JSON": forms.odd_json(),
        "signature": signatures.signatures(),
        "JWE": signatures.encrypted(),
    }
    return [Attack(kind, name, make) for kind, named in kinds.items() for name, make in named]
