"""From a stored row to the platform client that uses its credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from wpp.errors import KeyRefused
from wpp.platform.client import Credentials, WppClient
from wpp.platform.token import AccessToken, TokenSource
from wpp.provisioning.record import record_of

if TYPE_CHECKING:
    from wpp.provisioning.claim import HeldClaim
    from wpp.runtime import Invocation
    from wpp.supabase.rows import Integration

FRESH_KEY_PATIENCE = 10.0
"""Seconds for which a key that the platform just handed out may still be refused."""
_FRESH_KEY_SECONDS = 60.0  # in which the platform may still refuse a key that it just handed out


class Client(NamedTuple):
    """A row with credentials, and the platform client that uses them."""

    row: Integration
    platform: WppClient
    claim: HeldClaim | None = None
    """Held if this very invocation had the platform create the client: its session is yet to be started."""
    may_connect: bool = True
    """False if the number was disconnected while this invocation waited for others: it is neither activated nor started then."""

    @property
    def was_created(self) -> bool:
        return self.claim is not None


def stored_client(invocation: Invocation, row: Integration) -> Client:
    """The client of a row that has credentials."""
    record = record_of(row)
    if record.credentials is None:
        raise ValueError("the row has no credentials")
    return Client(row, platform_client(invocation, record.credentials, record.token))


def platform_client(invocation: Invocation, credentials: Credentials, stored: AccessToken | None = None) -> WppClient:
    base_url, upstream = invocation.config.wpp_base_url, invocation.upstream
    tokens = TokenSource(base_url, credentials.api_key, upstream, invocation.memory.tokens, stored)
    return WppClient(base_url, credentials, upstream, tokens)


def ensure_token(invocation: Invocation, client: Client) -> None:
    """Has the client's token at hand: once, for all requests that are sent at the same time.

    Raises KeyRefused, UpstreamError, DeadlinePassed.
    """
    tokens, issued = client.platform.tokens, record_of(client.row).key_issued_at
    is_fresh = issued is not None and abs(invocation.upstream.clock.now() - issued) < _FRESH_KEY_SECONDS
    if is_fresh and not tokens.is_at_hand:
        wait_for_token(invocation, client.platform)
    tokens.value()


def wait_for_token(invocation: Invocation, client: WppClient) -> None:
    """Gets the token of a key so new that the platform may not accept it everywhere yet.

    Raises KeyRefused if that takes longer than FRESH_KEY_PATIENCE, UpstreamError, DeadlinePassed.
    """
    upstream = invocation.upstream
    began, attempt = upstream.clock.monotonic(), 0
    while True:
        try:
            client.tokens.value()
        except KeyRefused:
            attempt += 1
            if upstream.clock.monotonic() - began >= FRESH_KEY_PATIENCE:
                raise
            upstream.pause(attempt, "waiting for the platform to accept the new key")
        else:
            return
