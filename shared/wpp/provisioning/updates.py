"""What one invocation learned about a client, and writes into its row: the token in use, an active row, a start, the webhook."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wpp.errors import WppError
from wpp.provisioning.best_effort import PATIENCE, BestEffort
from wpp.provisioning.liveness import Liveness
from wpp.provisioning.record import record_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager
    from typing import Any

    from wpp.platform.token import AccessToken
    from wpp.provisioning.client import Client
    from wpp.provisioning.options import KeyedRequest
    from wpp.provisioning.record import Record
    from wpp.runtime import Invocation
    from wpp.supabase.rows import Integration

WEBHOOK_PATIENCE = 3.0
"""Seconds: the next call can register it as well."""


class RowUpdates:
    def __init__(self, invocation: Invocation, client: Client, keyed: KeyedRequest | None = None) -> None:
        """`keyed` is recorded as carried out."""
        record = record_of(client.row)
        self.row = client.row
        self.webhook_pending = record.webhook_pending
        self._started_at = record.started_at
        self._invocation = invocation
        self._platform = client.platform
        self._keyed = keyed
        self._activate = not client.row.is_active
        is_live = Liveness(invocation.memory, invocation.upstream.clock).is_live(record)
        self._dead_claim_id = record.claim.id if record.claim and not is_live else None

    @property
    def are_saved(self) -> bool:
        record = record_of(self.row)
        return (self.row.is_active or not self._activate) and self.apply(record) == record

    def apply(self, record: Record) -> Record:
        """The record with these updates, or as it is if its credentials were replaced in the meantime."""
        if record.credentials != self._platform.credentials:
            return record
        token, stored = self._platform.tokens.current, record.token
        if token and (stored is None or (stored.text != token.text and self._is_newer(token, stored))):
            record = record.with_token(token)
        if record.claim and record.claim.id == self._dead_claim_id:
            record = record.released()
        record = record.with_webhook_pending(self.webhook_pending)
        record = record.with_start(self._started_at)
        if self._keyed:
            record = self._keyed.recorded(record, self._invocation.upstream.clock.now())
        return record

    def _is_newer(self, token: AccessToken, stored: AccessToken) -> bool:
        return stored.expires_at < token.expires_at or stored.text == self._platform.tokens.refused

    def record_start(self) -> None:
        """To be called right before `start` is sent."""
        self._started_at = self._invocation.upstream.clock.now()

    def record_refused_start(self) -> None:
        self._started_at = None

    def save(self) -> None:
        """Raises UpstreamError, DeadlinePassed."""
        self.row = self._invocation.rows.change(self.row, self._edit) or self.row

    def saving(self) -> AbstractContextManager[None]:
        """Saves them during the block, where that only helps: the next call does again what fails here."""
        return BestEffort(self._invocation, f"save {self.row.id}", self._save_or_log).alongside()

    def registering_webhook(self, patience: float = PATIENCE) -> AbstractContextManager[None]:
        """Registers the webhook during the block: the next call does again what fails here."""
        self.webhook_pending = True
        return BestEffort(self._invocation, f"webhook {self.row.id}", self._register_webhook).alongside(patience)

    def _save_or_log(self) -> None:
        try:
            self.save()
        except WppError as error:
            self._invocation.log.warning("the connection's row could not be updated", fields={"code": error.code})
            raise

    def _register_webhook(self) -> None:
        try:
            self._platform.webhook(self._invocation.config.wpp_webhook_url, WEBHOOK_PATIENCE)
        except WppError as error:
            self._invocation.warn(f"the webhook is not registered yet, a later call tries again: {error}")
            raise
        self.webhook_pending = False

    def _edit(self, current: Integration) -> Mapping[str, Any] | None:
        record = record_of(current)
        if record.credentials != self._platform.credentials:
            return None
        changed = self.apply(record)
        # Only if it was inactive when the call began: whoever switches it off during the call means it.
        activate = self._activate and not current.is_active
        if changed == record and not activate:
            return None
        return {"settings": changed.settings, **({"is_active": True} if activate else {})}
