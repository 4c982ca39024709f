"""From a stored row to the platform client that uses its credentials, and to a token where the key is very new."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wpp.errors import KeyRefused
from wpp.platform.client import WppClient
from wpp.provisioning.claim import credentials_of, token_of

if TYPE_CHECKING:
    from wpp.http.upstream import Upstream
    from wpp.runtime import Invocation
    from wpp.supabase.rows import Integration

FRESH_KEY_PATIENCE = 10.0
"""Seconds for which a key that the platform just handed out may still be refused."""


def client_for(invocation: Invocation, row: Integration) -> WppClient:
    """The client of a row that has credentials."""
    credentials = credentials_of(row)
    if credentials is None:
        raise ValueError("the row has no credentials")
    tokens = invocation.runtime.memory.tokens
    return WppClient(invocation.settings.wpp_base_url, credentials, invocation.upstream, tokens, token_of(row))


def patient_token(client: WppClient, upstream: Upstream) -> None:
    """Gets the token of a key so new that the platform may not know it yet everywhere."""
    began, attempt = upstream.clock.monotonic(), 0
    while True:
        try:
            client.token()
        except KeyRefused:
            attempt += 1
            if upstream.clock.monotonic() - began >= FRESH_KEY_PATIENCE:
                raise
            upstream.pause(attempt, "waiting for the platform to accept the new key")
        else:
            return
