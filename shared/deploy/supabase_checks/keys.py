"""Which API key is whose, and the keys that Supabase signs its users' tokens with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deploy.supabase_checks.project import Finding, Outcome, claims_of
from wpp.http.upstream import malformed
from wpp.supabase.api import refuses_our_key
from wpp.supabase.caller import is_made_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deploy.supabase_checks.project import Project

_ROLES_BY_PREFIX = {"sb_secret_": "service_role", "sb_publishable_": "anon"}
_ALGORITHMS = ("ES256", "RS256")


def service_key(project: Project) -> Outcome:
    key = project.config.supabase_service_role_key.value()
    findings = tuple(_key_findings(project, "SUPABASE_SERVICE_ROLE_KEY", key, "service_role"))
    return Outcome("it is one, and the gateway accepts it", findings)


def anon_key(project: Project) -> Outcome:
    if not project.has_anon_key:
        return Outcome("SUPABASE_ANON_KEY is not set; the functions then send the service key", was_checked=False)
    key = project.config.supabase_anon_key.value()
    return Outcome(
        "it is one, and the gateway accepts it", tuple(_key_findings(project, "SUPABASE_ANON_KEY", key, "anon"))
    )


def _key_findings(project: Project, variable: str, key: str, wanted: str) -> Iterator[Finding]:
    settled = f"copy the {wanted} key of this project into it (Settings → API keys, or .env of a self-hosted one)"
    role, expires_at = _role_and_expiry(key)
    if role is None:
        yield Finding(f"{variable} is neither a JWT with a role nor an sb_… key", settled)
        return
    if role != wanted:
        warning = " and never hand it to a browser" if role == "service_role" else ""
        yield Finding(
            f"{variable} holds a key of the role {role}, not {wanted}: are the keys swapped?", settled + warning
        )
    if expires_at is not None and expires_at <= project.upstream.clock.now():
        yield Finding(f"{variable} has expired", settled)
    # Auth refuses a request without a user, after the gateway has let it pass.
    if refuses_our_key(project.get("auth.user", "/auth/v1/user", {"apikey": key})):
        yield Finding(f"the gateway does not accept {variable}", settled)


def _role_and_expiry(key: str) -> tuple[str | None, float | None]:
    for prefix, role_of_all in _ROLES_BY_PREFIX.items():
        if key.startswith(prefix):
            return role_of_all, None
    claims = claims_of(key) or {}
    role, expires_at = claims.get("role"), claims.get("exp")
    is_time = isinstance(expires_at, (int, float)) and not isinstance(expires_at, bool)
    return (role if isinstance(role, str) else None), (expires_at if is_time else None)


def signing_keys(project: Project) -> Outcome:
    response = project.get("auth.jwks", "/auth/v1/.well-known/jwks.json", {})
    if response.status != 200:
        problem = f"the public keys cannot be read: status {response.status} for /auth/v1/.well-known/jwks.json"
        return Outcome("", (Finding(problem, "route it to Auth without an API key, as Supabase's own gateway does"),))
    keys = response.json.get("keys") if isinstance(response.json, dict) else None
    if not isinstance(keys, list):
        raise malformed("supabase", "auth.jwks", "a list of keys", response)
    if not keys:
        return Outcome("there are none, so tokens are HS256: the functions need SUPABASE_JWT_SECRET")
    findings = tuple(
        Finding(
            f"signing key {key.get('kid') if isinstance(key, dict) else '?'} cannot be used, nor any token signed with it",
            "sign with ES256 (P-256) or RS256 and publish `kid`",
        )
        for key in keys
        if not _is_usable(key)
    )
    return Outcome(f"{len(keys)} published, all of them usable", findings)


def _is_usable(key: Any) -> bool:
    from jose import JOSEError, jwk

    if not isinstance(key, dict) or not isinstance(key.get("kid"), str):
        return False
    algorithm = next((name for name in _ALGORITHMS if is_made_for(key, name)), None)
    if algorithm is None:
        return False
    try:
        jwk.construct(key, algorithm)
    except (JOSEError, ValueError, TypeError, AttributeError):
        return False
    return True
