"""What one invocation learned about a client and writes into its row: the token in use, a start, the webhook, a paired phone."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from wpp.errors import WppError
from wpp.platform.state import State
from wpp.provisioning.best_effort import BestEffort
from wpp.provisioning.liveness import Liveness
from wpp.provisioning.record import record_of, webhook_hash

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager
    from typing import Any

    from wpp.platform.state import SessionState
    from wpp.platform.token import AccessToken
    from wpp.provisioning.claim import HeldClaim
    from wpp.provisioning.client import Client
    from wpp.provisioning.idempotency import KeyedRequest
    from wpp.provisioning.record import Record
    from wpp.runtime import Invocation
    from wpp.supabase.rows import Integration

WEBHOOK_PATIENCE = 3.0
"""Seconds: the next call can register it as well."""


class _Start(NamedTuple):
    at: float | None
    """Seconds since 1970; None if it is known to have had no effect."""
    restarts: int


class RowUpdates:
    def __init__(
        self, invocation: Invocation, client: Client, keyed: KeyedRequest | None = None, *, only_look: bool = False
    ) -> None:
        """`keyed` is recorded as carried out. With `only_look`, no more is written than a token, that a QR was shown, and that
        a number was paired: a phone that may have scanned the QR is not to be logged out by a restart."""
        record = record_of(client.row)
        may_connect = client.may_connect and not only_look
        self._activate = may_connect and not client.row.is_active
        self._connect_again = may_connect and record.is_disconnected
        self._invocation = invocation
        self._clock = invocation.upstream.clock
        self.is_now(client.row)
        self._platform = client.platform
        self._keyed = keyed
        self._only_look = only_look
        self._start: _Start | None = None
        self._seen_known = self._seen_paired = self._seen_qr = False
        self._webhook_hash = webhook_hash(invocation.config.wpp_webhook_url)
        self._webhook_is_registered: bool | None = None  # None if it was not tried
        is_live = Liveness(invocation.memory, self._clock).is_live(record)
        self._dead_claim = None if is_live or only_look else record.claim
        is_own = record.claim is not None and client.claim is not None and client.claim.id == record.claim.id
        self._holder_id = record.claim.id if record.claim and is_live and not (is_own or only_look) else None
        self.may_have_ended = True
        """Whether the session may have to be started. Until that is known, the claim of a dead start stays: it tells whoever
        takes it over to give that start its time."""

    def is_now(self, row: Integration) -> None:
        """The row as it was just read or written. Once it is active, whoever switches it off means it."""
        self.row = row
        self._read_by = self._clock.monotonic()
        """It was read or written before that."""
        self.record = record_of(row)
        self._activate = self._activate and not row.is_active
        self._connect_again = self._connect_again and self.record.is_disconnected

    @property
    def are_saved(self) -> bool:
        record = self.record
        return (self.row.is_active or not self._activate) and self.apply(record) == record

    @property
    def may_start(self) -> bool:
        """Whether this call may start the session of a row that is marked as disconnected, which it was when the call began."""
        return self._connect_again

    @property
    def needs_webhook(self) -> bool:
        """Whether the platform lacks our webhook, or has the address that it had before."""
        if self._webhook_is_registered is not None:
            return not self._webhook_is_registered
        return self.record.webhook_pending or self.record.webhook_hash != self._webhook_hash

    @property
    def are_left_to_holder(self) -> bool:
        """Whether somebody else is at work under a claim, and saves token and webhook when releasing it. If both saved them, each
        would only make the other's change fail. Should the holder die, the next call does it again."""
        return self._are_left_to_holder(self.record)

    def _are_left_to_holder(self, record: Record) -> bool:
        return record.claim is not None and record.claim.id == self._holder_id

    def apply(self, record: Record) -> Record:
        """The record with these updates, or as it is if its credentials were replaced in the meantime."""
        return self._applied(record) if record.credentials == self._platform.credentials else record

    def _applied(self, record: Record) -> Record:
        token, stored = self._platform.tokens.current, record.token
        is_left = self._are_left_to_holder(record)
        if token and not is_left and (stored is None or (stored.text != token.text and self._is_newer(token, stored))):
            record = record.with_token(token)
        # With the same beat: the holder may have woken up since.
        if record.claim and record.claim == self._dead_claim and not self.may_have_ended:
            record = record.released()
        if self._webhook_is_registered is not None and not is_left:
            record = record.with_webhook(self._webhook_hash if self._webhook_is_registered else None)
        record = self._with_session(record)
        if self._connect_again and record.is_disconnected:
            record = record.connected_again()
        if self._keyed:
            record = self._keyed.recorded(record, self._clock.now())
        return record

    def _with_session(self, record: Record) -> Record:
        """With what was seen of the session."""
        if self._start is not None:
            record = record.with_start(self._start.at).with_restarts(self._start.restarts)
        if self._seen_paired and not record.was_paired:
            record = record.paired()
        if self._seen_qr and not record.was_paired and not record.qr_was_shown:
            record = record.with_qr_shown()
        if self._only_look:
            return record
        if record.restarts and (self._seen_paired or self._seen_qr):
            record = record.with_restarts(0)
        return record.with_lost(None) if record.lost and self._seen_known else record

    def _is_newer(self, token: AccessToken, stored: AccessToken) -> bool:
        """Not if both will be renewed at about the same time: several processes may have asked for a token each."""
        return stored.expires_at < token.renew_at or stored.text == self._platform.tokens.refused

    def record_start(self, *, is_restart: bool = False) -> None:
        """To be called right before `start` is sent, under the claim; for a restart before `stop` as well."""
        restarts = self._start.restarts if self._start else self.record.restarts
        self._start = _Start(self._clock.now(), restarts + is_restart)
        self._seen_qr = False

    def record_possible_start(self, at: float) -> None:
        """By somebody else, at this time in seconds since 1970 at the latest."""
        self._start = _Start(at, self.record.restarts)

    def record_refused_start(self) -> None:
        self._start = _Start(None, self.record.restarts)

    def observe(self, state: SessionState) -> None:
        """What a session's state tells about its number for good."""
        self._invocation.upstream.trace.session_state = state.state.name.lower()
        self._seen_known = True
        self._seen_paired = self._seen_paired or state.state in (State.CONNECTED, State.PAIRING)
        self._seen_qr = self._seen_qr or state.qr is not None

    def save(self) -> None:
        """Raises UpstreamError, DeadlinePassed."""
        start, began, before = self._start, self._clock.monotonic(), self.row
        row = self._invocation.rows.change(before, self._edit)
        if row is not None and row is not before:  # which needed no change, and was not read again
            self._saved(row, began)
        self._forget(start)

    def save_under(self, claim: HeldClaim, *, release: bool = False) -> None:
        """The same, as the holder of the claim. Raises ClaimLost, UpstreamError, DeadlinePassed."""
        start, began = self._start, self._clock.monotonic()
        self._saved(claim.change(self.apply, release=release), began)
        self._forget(start)

    def _saved(self, row: Integration, began: float) -> None:
        """It was read or written after `began`, by our monotonic clock."""
        self.is_now(row)
        self._invocation.memory.rows_saved.put(row.id, (row, began))

    def catch_up(self) -> None:
        """With what others in this process have saved since the row was read: what they noted need not be noted again."""
        saved = self._invocation.memory.rows_saved.get(self.row.id)
        if saved is not None and saved[1] > self._read_by:
            self.is_now(saved[0])

    def _forget(self, start: _Start | None) -> None:
        """It is saved. Saved again, it would undo what others note of the session since then."""
        if self._start is start:
            self._start = None

    def saving(self) -> AbstractContextManager[None]:
        """Saves them during the block, where that only helps: the next call does again what fails here."""
        return BestEffort(self._invocation, f"save {self.row.id}", self._save_or_log).alongside()

    def registering_webhook(self, patience: float | None = None) -> AbstractContextManager[None]:
        """Registers the webhook during the block: the next call does again what fails here."""
        self._webhook_is_registered = False
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
        self._webhook_is_registered = True

    def _edit(self, current: Integration) -> Mapping[str, Any] | None:
        record = record_of(current)
        if record.credentials != self._platform.credentials:
            return None
        changed = self._applied(record)
        activate = self._activate and not current.is_active
        if changed == record and not activate:
            return None
        return {"settings": changed.settings, **({"is_active": True} if activate else {})}
