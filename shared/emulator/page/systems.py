"""The three systems as the page's strip shows them: where they are, with which keys, and whether they can be reached."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from psycopg import Error

if TYPE_CHECKING:
    from emulator.stack import Stack

_SECONDS = 1.0


def systems(stack: Stack) -> list[dict[str, Any]]:
    supabase, platform = stack.supabase, stack.platform
    keys = {"anon key": supabase.anon_key, "service key": supabase.service_role_key}
    return [
        {"name": "supabase", "address": stack.supabase_server.url, "keys": keys},
        {"name": "platform", "address": stack.platform_server.url, "keys": {"WPP_SECRET": platform.wpp_secret}},
        {"name": "functions", "address": f"{stack.supabase_server.url}/functions/v1", "keys": {}},
    ]


def health(stack: Stack) -> dict[str, bool]:
    return {
        "supabase": _has_database(stack),
        "platform": _listens(stack.platform_server.url),
        "functions": stack.supabase.functions_url is not None and _listens(stack.supabase.functions_url),
    }


def _has_database(stack: Stack) -> bool:
    try:
        stack.supabase.execute("select 1")
    except Error:
        return False
    return True


def _listens(url: str) -> bool:
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 80), _SECONDS).close()
    except OSError:
        return False
    return True
