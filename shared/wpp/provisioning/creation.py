"""Exactly one client: claim the row, have the platform create, save its credentials - or wait for whoever is working on it.

The promise rests on three things. The row's id is derived from the organization, so only one claim can be inserted. Every
later change of the row is conditional on what was just read. And the idempotency key follows from the row alone, so whoever
goes on after a crash asks for the same client, not for another.
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from wpp.errors import (
    AMBIGUOUS,
    CreationInProgress,
    DeadlinePassed,
    HolderRefused,
    NotConfigured,
    NumberNotFound,
    RowForbidden,
    UpstreamError,
    UpstreamTimeout,
)
from wpp.http.upstream import MAX_ATTEMPTS
from wpp.platform.client import CREATE_TIMEOUT, Credentials, create_client
from wpp.provisioning.claim import ClaimLost, HeldClaim
from wpp.provisioning.client import Client, platform_client, stored_client, wait_for_token
from wpp.provisioning.decide import Create, Decision, Fail, Insert, Take, Use, Wait, decide
from wpp.provisioning.liveness import DEAD_AFTER, Liveness
from wpp.provisioning.number import require_own_id, require_own_session
from wpp.provisioning.pauses import pause_after
from wpp.provisioning.record import Record, record_of
from wpp.provisioning.settling import await_stop
from wpp.supabase.rows import MESSENGER_TYPE, PROVIDER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wpp.provisioning.idempotency import KeyedRequest
    from wpp.provisioning.number import Number
    from wpp.runtime import Invocation
    from wpp.supabase.rows import Integration

_STOP_PATIENCE = 5.0  # seconds: a session that cannot be stopped is replaced all the same


class Creation:
    """One invocation's part in getting one number its client."""

    def __init__(
        self,
        invocation: Invocation,
        number: Number,
        keyed: KeyedRequest | None = None,
        *,
        replacing: Integration | None = None,
        stop_first: bool = False,
        may_insert: bool = True,
        others: Iterable[Integration] = (),
    ) -> None:
        """`keyed` is recorded as carried out with the saved result. `replacing` is a row whose credentials will not do: they are
        replaced once, whoever does it; with `stop_first` its session is logged out before. Without `may_insert`, a row that is
        deleted meanwhile stays deleted. `others` are rows of the organization, with none of which it may share a session."""
        self._invocation = invocation
        self._upstream = invocation.upstream
        self._rows = invocation.rows
        self._liveness = Liveness(invocation.memory, invocation.upstream.clock)
        self._number = number
        self._keyed = keyed
        self._replacing = replacing
        self._unwanted = record_of(replacing).generation if replacing else None
        self._stop_first = stop_first
        self._may_insert = may_insert
        self._others = tuple(others)
        self._claim = self._new_claim()
        self._awaited: str | None = None
        self._inserts = 0
        self._disconnected: str | None = None
        """The generation of the credentials of a row that was disconnected before this call, and has been since."""
        self._credentials: Credentials | None = None
        """As the platform gave them: should the row vanish before they are saved, they go into the next one."""

    def obtain(self, row: Integration | None) -> Client:
        """The number's client, created by us or by whoever is already working on it.

        Raises CreationInProgress if another invocation is at work until our deadline, HolderRefused, NumberNotFound if there is
        no row and may be none, UpstreamError, DeadlinePassed.
        """
        known = self._replacing or row
        if known is not None and record_of(known).is_disconnected:
            self._disconnected = record_of(known).generation
        try:
            return self._obtain(row)
        except Exception as error:
            self._claim.release(error, self._with_credentials)
            raise

    def _with_credentials(self, record: Record) -> Record:
        """The record with those that the platform gave and that could not be saved: they are not to be lost with this call."""
        if self._credentials is None or record.generation != (self._unwanted or ""):
            return record
        return record.completed(self._credentials, self._upstream.clock.now())

    def _obtain(self, row: Integration | None) -> Client:
        began = self._upstream.clock.monotonic()
        while True:
            match self._decide(row):
                case Insert():
                    if not self._may_insert:
                        raise NumberNotFound
                    row = self._insert()
                case Take(free):
                    row, _ = self._claim.take(free, lambda current: isinstance(self._decide(current), Take))
                case Create(claimed):
                    try:
                        return self._create(claimed)
                    except ClaimLost:
                        self._invocation.log.warning("the claim was taken over; waiting for the new holder")
                        self._claim.drop()
                        self._claim = self._new_claim()
                        row = self._look()
                case Wait(claimed, claim):
                    self._awaited = claim.id
                    row = self._look_again(claimed, began)
                case Fail(failure):
                    raise HolderRefused(failure.code, failure.problem)
                case Use(usable):
                    may_connect = not self._was_disconnected_meanwhile(usable)
                    return stored_client(self._invocation, usable)._replace(may_connect=may_connect)

    def _new_claim(self) -> HeldClaim:
        return HeldClaim(self._invocation, "create" if self._unwanted is None else "recreate")

    def _decide(self, row: Integration | None) -> Decision:
        is_live = row is not None and self._liveness.is_live(record_of(row))
        if row is not None and not record_of(row).is_disconnected:
            self._disconnected = None
        own, unwanted, awaited = self._claim.id, self._unwanted, self._awaited
        decision = decide(row, own_claim_id=own, is_live=is_live, unwanted=unwanted, awaited=awaited)
        if isinstance(decision, Take) and self._was_disconnected_meanwhile(decision.row):
            return Use(decision.row)
        return decision

    def _was_disconnected_meanwhile(self, row: Integration) -> bool:
        """Whether somebody disconnected the number after this call began, and means it. What a user asks for with force_recreate
        is done in any case."""
        record = record_of(row)
        is_meant = record.generation != self._disconnected and not self._stop_first
        return record.is_disconnected and record.credentials is not None and is_meant

    def _look(self) -> Integration | None:
        return self._number.find(self._rows.of_organization(self._number.organization_id))

    def _look_again(self, row: Integration, began: float) -> Integration | None:
        """The row after a pause: as this process has saved it meanwhile, or else as it is read. `began` is when this call did."""
        memory, looked = self._invocation.memory, self._upstream.clock.monotonic()
        try:
            with memory.looked_for.using(self._claim.id):  # which names this call: each looks for itself
                pause = pause_after(looked - began, len(memory.looked_for))
                self._upstream.deadline.sleep(pause, "waiting for another request that creates this connection")
                saved = memory.rows_saved.get(row.id)
                return saved[0] if saved is not None and saved[1] > looked else self._look()
        except (DeadlinePassed, UpstreamTimeout) as error:
            if isinstance(error, UpstreamTimeout) and self._upstream.deadline.remaining() > 0:
                raise
            raise CreationInProgress(retry_after=math.ceil(DEAD_AFTER)) from error

    def _insert(self, *, is_primary: bool | None = None) -> Integration | None:
        """The number's row with our claim, or as somebody else inserted it."""
        if is_primary is None:
            is_primary = self._number.is_primary
        self._inserts += 1
        try:
            inserted = self._claim.insert(self._columns(is_primary=is_primary))
        except AMBIGUOUS as error:
            if self._inserts >= MAX_ATTEMPTS:
                raise
            self._upstream.pause_after(error, self._inserts)
            return self._look()
        except RowForbidden:
            found = self._look()
            if found is None and is_primary:  # another provider's row is the primary one, and stays it
                return self._insert(is_primary=False)
            if found is None:
                raise
            return found
        if inserted is None:
            inserted = self._look()
        if inserted is None:
            raise self._taken_id()
        return inserted

    def _taken_id(self) -> NotConfigured:
        """Why there is a row with our id, and none of ours."""
        row_id = self._number.row_id
        found = self._rows.by_id(row_id)
        if found is not None and found.organization_id != self._number.organization_id:
            return NotConfigured(
                f"Row {row_id} of messenger_integrations was moved to another organization, and its former one needs that "
                "id: move it back, or give it another id"
            )
        return NotConfigured(
            f"Supabase has row {row_id} of messenger_integrations and does not show it to our key: "
            "check row-level security, its provider and its messenger_type"
        )

    def _columns(self, *, is_primary: bool) -> dict[str, Any]:
        import uuid  # 2 ms at a cold start, and most calls create nothing

        number = self._number
        return {
            "id": number.row_id,
            "organization_id": number.organization_id,
            "messenger_type": MESSENGER_TYPE,
            "provider": PROVIDER,
            "name": "WhatsApp (WPP)",
            "is_active": False,
            "is_primary": is_primary,
            "webhook_key": str(uuid.uuid4()),
            "settings": number.first_settings,
        }

    def _create(self, row: Integration) -> Client:
        if self._claim.row is None:
            self._claim.adopt(row)
        record = record_of(row).begun_with(self._number.first_settings)
        if self._credentials is None:
            require_own_id(record)
            if self._stop_first:
                self._stop(row)
            self._credentials = self._ask_platform(record)
            # Logged before it is saved, so that a client without a row can be found.
            fields = {"integration": row.id, "platform_id": record.platform_id, "session": self._credentials.session}
            self._invocation.count("client_created")
            self._invocation.log.info("client created", fields=fields)
        platform = platform_client(self._invocation, self._credentials)
        with self._upstream.alongside(lambda: wait_for_token(self._invocation, platform)) as token_future:
            saved = self._save(self._credentials)
        token_future.result()
        return Client(saved, platform, self._claim)

    def _stop(self, row: Integration) -> None:
        if record_of(row).credentials is None:
            return
        platform = stored_client(self._invocation, row).platform
        try:
            platform.stop(_STOP_PATIENCE, fence=self._claim.confirm)
        except UpstreamError as error:
            # A session that cannot even be stopped is just what somebody wants replaced.
            self._invocation.warn(f"the previous session could not be stopped: {error}")
            return
        # The platform may give the same session again, which would be answered as connected.
        with suppress(UpstreamError):
            await_stop(self._upstream, platform)

    def _ask_platform(self, record: Record) -> Credentials:
        config, attempt = self._invocation.config, 0
        while True:
            try:
                credentials = create_client(
                    config.wpp_base_url,
                    config.wpp_secret,
                    record.platform_id,
                    upstream=self._upstream,
                    idempotency_key=record.idempotency_key,
                    timeout=self._upstream.deadline.cap(CREATE_TIMEOUT, "creating the client"),
                    fence=self._claim.confirm,
                )
            except AMBIGUOUS as error:
                attempt += 1
                if attempt >= MAX_ATTEMPTS:
                    raise
                self._upstream.pause_after(error, attempt)
            else:
                require_own_session(record, credentials.session, self._others)
                return credentials

    def _save(self, credentials: Credentials) -> Integration:
        now = self._upstream.clock.now()

        def complete(record: Record) -> Record:
            completed = record.begun_with(self._number.first_settings).completed(credentials, now)
            return self._keyed.recorded(completed, now) if self._keyed else completed

        try:
            return self._claim.change(complete, active=True, doing="start")
        except RowForbidden:  # an index of active rows: the next call must find the client all the same
            self._claim.change(complete)
            raise
