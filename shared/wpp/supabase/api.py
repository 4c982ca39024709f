"""How both parts of Supabase are called: addresses, API keys, and what a refusal of our own key looks like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wpp.http.messages import Response
    from wpp.secret import Secret


def key_headers(key: str) -> dict[str, str]:
    """A legacy key is a JWT and goes in both headers; a new `sb_secret_…` one is refused as a bearer."""
    if key.startswith("sb_"):
        return {"apikey": key}
    return {"apikey": key, "Authorization": f"Bearer {key}"}


def refuses_our_key(response: Response) -> bool:
    """Whether a 401 or 403 is about the API key that we sent, and so our fault and not the caller's.

    The gateway answers `{"message": …}` alone; Auth says `error_code` or `msg`, PostgREST `code`.
    """
    body: Any = response.json
    return (
        response.status in (401, 403)
        and isinstance(body, dict)
        and "message" in body
        and not body.keys() & {"error_code", "msg"}
    )


def renewed(secret: Secret, used: str, response: Response) -> bool:
    """Whether the call is worth repeating because the key `used` was refused, and has a new value by now."""
    return refuses_our_key(response) and secret.renewed(used)
