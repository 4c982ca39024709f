"""What one invocation learned about a client, and writes into its row: the token in use, an active row, a start, the webhook."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wpp.errors import WppError
from wpp.provisioning.liveness import Liveness
from wpp.provisioning.record import record_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from wpp.provisioning.client import Client
    from wpp.provisioning.options import KeyedRequest
    from wpp.provisioning.record import Record
    from wpp.runtime import Invocation
    from wpp.supabase.rows import Integration

WEBHOOK_PATIENCE = 3.0
"""Seconds: the next call can register it as well."""


class Facts:
    def __init__(self, invocation: Invocation, client: Client, keyed: KeyedRequest | None = None) -> None:
        """`keyed` is recorded as carried out."""
        self.row = client.row
        self.started_at: float | None = None
        """When this invocation started the session, in seconds since 1970."""
        self.webhook_pending = record_of(client.row).webhook_pending
        self._invocation = invocation
        self._platform = client.platform
        self._keyed = keyed
        record = record_of(client.row)
        is_live = Liveness(invocation.memory, invocation.upstream.clock).is_live(record)
        self._dead_claim_id = record.claim.id if record.claim and not is_live else None

    @property
    def are_saved(self) -> bool:
        record = record_of(self.row)
        return self.row.is_active and self.apply(record) == record

    def apply(self, record: Record) -> Record:
        """The record with these facts, or as it is if its credentials were replaced in the meantime."""
        if record.credentials != self._platform.credentials:
            return record
        tokens, stored = self._platform.tokens, record.token
        token = tokens.current
        if token and (stored is None or stored.expires_at < token.expires_at or stored.text == tokens.refused):
            record = record.with_token(token)
        if record.claim and record.claim.id == self._dead_claim_id:
            record = record.released()
        record = record.with_webhook_pending(self.webhook_pending)
        if self.started_at is not None:
            record = record.with_start(self.started_at)
        if self._keyed:
            record = self._keyed.recorded(record, self._invocation.upstream.clock.now())
        return record

    def save(self) -> None:
        """Raises UpstreamError, DeadlinePassed."""
        self.row = self._invocation.rows.change(self.row, self._edit) or self.row

    def save_late(self) -> None:
        """What became known after the row was last written. A later call does again what fails here."""
        if self.are_saved:
            return
        try:
            self.save()
        except WppError as error:
            self._invocation.log.warning("the connection's row could not be updated", fields={"code": error.code})

    def register_webhook(self) -> None:
        try:
            self._platform.webhook(self._invocation.config.wpp_webhook_url, WEBHOOK_PATIENCE)
        except WppError as error:
            self.webhook_pending = True
            self._invocation.warn(f"the webhook is not registered yet, the next call tries again: {error}")
        else:
            self.webhook_pending = False

    def _edit(self, current: Integration) -> Mapping[str, Any] | None:
        record = record_of(current)
        if record.credentials != self._platform.credentials:
            return None
        changed = self.apply(record)
        if current.is_active and changed == record:
            return None
        return {"settings": changed.settings, "is_active": True}
