"""The baseline of processor time: the upstream requests of a warm wpp-create, made with `requests` and nothing around them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import requests
from jose import jwt

if TYPE_CHECKING:
    import flask

_SUPABASE, _PLATFORM = os.environ["SUPABASE_URL"], os.environ["WPP_BASE_URL"]
_KEY = os.environ["SUPABASE_SERVICE_ROLE_KEY"]
_SERVICE = {"apikey": _KEY, "Authorization": f"Bearer {_KEY}"}
_SELECT = "organization_id,organizations!organization_id(messenger_integrations(*))"
_TIMEOUT = 9  # seconds
_SESSION = requests.Session()


def plain(request: flask.Request) -> tuple[bytes, int]:
    """The target for functions-framework: for an organization that is connected."""
    token = request.headers["Authorization"].removeprefix("Bearer ")
    user_id = jwt.decode(token, os.environ["SUPABASE_JWT_SECRET"], "HS256", audience="authenticated")["sub"]
    user = {"apikey": os.environ["SUPABASE_ANON_KEY"], "Authorization": f"Bearer {token}"}
    _SESSION.get(f"{_SUPABASE}/auth/v1/user", headers=user, timeout=_TIMEOUT).raise_for_status()
    query = {"id": f"eq.{user_id}", "select": _SELECT}
    profiles = _SESSION.get(f"{_SUPABASE}/rest/v1/profiles", params=query, headers=_SERVICE, timeout=_TIMEOUT).json()
    settings = profiles[0]["organizations"]["messenger_integrations"][0]["settings"]
    platform = {"Authorization": f"Bearer {settings['wppJwtToken']}"}
    status = f"{_PLATFORM}/api/accounts/{settings['wppAccountNumber']}/status"
    answer = _SESSION.get(status, headers=platform, timeout=_TIMEOUT)
    answer.raise_for_status()
    return answer.content, 200
