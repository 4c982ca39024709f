"""Exactly one client: claim the row, have the platform create, save what it gave, or wait for whoever holds the claim.

The promise rests on three things. The row's id is derived from the organization, so only one claim can be inserted. Every later
change of the row is made only on what was just read. And the idempotency key stands in the row before the platform is asked,
so whoever goes on after a crash asks for the same client, not for another.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, NamedTuple

from wpp.errors import (
    AMBIGUOUS,
    CreationInProgress,
    DeadlinePassed,
    UpstreamError,
    UpstreamRefused,
    UpstreamTimeout,
    WppError,
)
from wpp.http.upstream import MAX_ATTEMPTS
from wpp.platform.client import CREATE_TIMEOUT, Credentials, WppClient, create_client
from wpp.provisioning.access import client_for, patient_token
from wpp.provisioning.claim import (
    LEASE_MARGIN,
    Claim,
    Number,
    claim_of,
    claimed,
    completed,
    credentials_of,
    failure_of,
    generation_of,
    platform_id_of,
    released,
)
from wpp.supabase.rows import MESSENGER_TYPE, PROVIDER, Integration, Rows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from wpp.provisioning.request import KeyedRequest
    from wpp.runtime import Invocation


_STOP_PATIENCE = 5.0  # seconds: a session that cannot be stopped is replaced all the same


class _LeaseLost(Exception):  # no failure: somebody else is finishing the job
    pass


class Made(NamedTuple):
    """A row with credentials, and the client that uses them."""

    row: Integration
    client: WppClient
    created: bool = False
    """Whether this very invocation had the platform create it."""


class Creation:
    """One invocation's part in getting one number its client."""

    def __init__(
        self,
        invocation: Invocation,
        number: Number,
        keyed: KeyedRequest | None = None,
        *,
        stop_first: bool = False,
    ) -> None:
        """`keyed` is noted as carried out with the saved result. With `stop_first` a session that is replaced is logged out."""
        self._invocation = invocation
        self._upstream = invocation.upstream
        self._clock = invocation.upstream.clock
        self._rows = invocation.rows
        self._number = number
        self._keyed = keyed
        self._stop_first = stop_first
        self._claim = Claim(secrets.token_hex(16), 0.0)
        self._claimed_row_id: str | None = None
        # Kept for the whole invocation: should the row vanish, what was asked for must not be asked for twice.
        self._idempotency_key = secrets.token_hex(16)

    def obtain(self, row: Integration | None, replacing: Integration | None = None) -> Made:
        """The number's client, created by us or by whoever is at it already.

        `replacing` is a row whose credentials will not do: they are replaced once, whoever does it.
        Raises CreationInProgress where another invocation holds the claim until our deadline; UpstreamError, DeadlinePassed.
        """
        try:
            return self._obtain(row, replacing and generation_of(replacing))
        except Exception as error:
            self._release(error)
            raise

    def _obtain(self, row: Integration | None, unwanted: Any) -> Made:
        awaited: str | None = None
        attempt = 0
        while True:
            claim = claim_of(row) if row else None
            if row and claim and claim.id == self._claim.id:
                try:
                    return self._create(row)
                except _LeaseLost:
                    self._invocation.log.warning("the lease was taken over; waiting for the new holder")
                    self._claim = Claim(secrets.token_hex(16), 0.0)
                    row = self._look()
                    continue
            if row and claim and self._is_held(claim):
                awaited, attempt = claim.id, attempt + 1
                row = self._look_again(claim, attempt)
                continue
            if row and awaited and (failure := failure_of(row, awaited)):
                raise _SharedRefusal(*failure)
            if row and credentials_of(row) and generation_of(row) != unwanted:
                return Made(row, client_for(self._invocation, row))
            row = self._take(row, unwanted)

    def _look(self) -> Integration | None:
        return self._number.find(self._rows.of_organization(self._number.organization_id))

    def _is_held(self, claim: Claim) -> bool:
        given_up = self._invocation.runtime.memory.given_up.get(claim.id)
        return claim.is_live(self._clock.now()) and not given_up

    def _look_again(self, claim: Claim, attempt: int) -> Integration | None:
        try:
            # Looked for often: a creation takes a second, and those who wait for it should not wait much longer.
            self._upstream.pause(min(attempt, 2), "waiting for another request that creates this connection")
            return self._look()
        except (DeadlinePassed, UpstreamTimeout) as error:
            if isinstance(error, UpstreamTimeout) and self._upstream.deadline.remaining() > 0:
                raise
            left = claim.expires_at - self._clock.now()
            raise CreationInProgress(retry_after=max(1, min(round(left), 30))) from error

    def _take(self, row: Integration | None, unwanted: Any) -> Integration | None:
        """Tries to get the claim: the row as it is afterwards, ours or another's."""
        lease = self._upstream.deadline.total + LEASE_MARGIN
        self._claim = Claim(self._claim.id, self._clock.now() + lease)
        self._claimed_row_id = row.id if row else self._number.row_id
        if row is None:
            return self._insert()
        self._idempotency_key = row.settings.get("wppIdempotencyKey") or self._idempotency_key

        def take_over(current: Integration) -> Mapping[str, Any] | None:
            holder = claim_of(current)
            if holder and (holder.id == self._claim.id or self._is_held(holder)):
                return None
            if credentials_of(current) and generation_of(current) != unwanted:
                return None
            key = current.settings.get("wppIdempotencyKey") or self._idempotency_key
            return {"settings": claimed(current.settings, self._claim, key)}

        return self._rows.change(row, take_over)

    def _insert(self) -> Integration | None:
        import uuid  # as in Number.row_id

        number = self._number
        further = {} if number.is_primary else {"wppSubOrgId": number.sub_organization_id}
        columns = {
            "id": number.row_id,
            "organization_id": number.organization_id,
            "messenger_type": MESSENGER_TYPE,
            "provider": PROVIDER,
            "name": "WhatsApp (WPP)",
            "is_active": False,
            "is_primary": number.is_primary,
            "webhook_key": str(uuid.uuid4()),
            "settings": claimed(further, self._claim, self._idempotency_key),
        }
        try:
            inserted = self._rows.insert(columns)
        except AMBIGUOUS:
            self._upstream.pause(1, "claiming the connection")
            return self._look()
        if inserted is not None:
            return inserted
        found = self._look()
        if found is None:
            raise UpstreamRefused("supabase", "rest.POST", "keeps another row in the place of this connection's")
        return found

    def _create(self, row: Integration) -> Made:
        if self._stop_first:
            self._stop(row)
        created = self._ask_platform(row)
        client = WppClient(
            self._invocation.settings.wpp_base_url,
            created,
            self._upstream,
            self._invocation.runtime.memory.tokens,
        )
        with self._upstream.alongside(lambda: self._save(row, created)) as saving:
            token_error = _error_of(lambda: patient_token(client, self._upstream))
        saved = saving.result()
        if token_error is not None:
            raise token_error
        self._invocation.log.info("client created", fields={"integration": saved.id})
        return Made(saved, client, created=True)

    def _stop(self, row: Integration) -> None:
        if credentials_of(row) is None:
            return
        try:
            client_for(self._invocation, row).stop(_STOP_PATIENCE)
        except UpstreamError as error:
            # A session that cannot even be stopped is just what somebody wants replaced.
            self._invocation.warn(f"the previous session could not be stopped: {error}")

    def _ask_platform(self, row: Integration) -> Credentials:
        settings = self._invocation.settings
        key = row.settings.get("wppIdempotencyKey") or self._idempotency_key
        attempt = 0
        while True:
            timeout = self._upstream.deadline.cap(CREATE_TIMEOUT, "creating the client")
            if self._claim.expires_at - self._clock.now() < timeout:
                raise DeadlinePassed("creating the client: the lease ends too soon")
            try:
                return create_client(
                    settings.wpp_base_url,
                    settings.wpp_secret,
                    platform_id_of(row),
                    upstream=self._upstream,
                    idempotency_key=str(key),
                    timeout=timeout,
                )
            except AMBIGUOUS as error:
                attempt += 1
                if attempt >= MAX_ATTEMPTS:
                    raise
                self._upstream.pause_after(error, attempt)

    def _save(self, row: Integration, created: Credentials) -> Integration:
        def complete(current: Integration) -> Mapping[str, Any] | None:
            holder = claim_of(current)
            if holder is None or holder.id != self._claim.id:
                if credentials_of(current) == created:
                    return None  # our own change, whose answer was lost, or a successor's with the same client
                raise _LeaseLost
            now = self._clock.now()
            settings = completed(current.settings, created, now)
            if self._keyed:
                settings = self._keyed.recorded(settings, now)
            return {"settings": settings, "is_active": True}

        saved = self._rows.change(row, complete)
        if saved is None:
            raise _LeaseLost
        return saved

    def _release(self, error: Exception) -> None:
        """Gives the claim back, wherever we stopped: also where it is not known whether it was placed at all."""
        if self._claimed_row_id is None:
            return
        # Should this fail, others wait for the lease's end; this process knows that nobody works under it any more.
        self._invocation.runtime.memory.given_up.put(self._claim.id, True)
        # Only a refusal is an answer that others who wait should share; a passed deadline or a lost connection is not.
        refusal = (error.code, str(error)) if isinstance(error, UpstreamRefused) else None

        def give_back(current: Integration) -> Mapping[str, Any] | None:
            holder = claim_of(current)
            if holder is None or holder.id != self._claim.id:
                return None
            return {"settings": released(current.settings, self._claim, refusal)}

        rows = Rows(self._invocation.settings, self._upstream.for_tidying())
        try:
            row = rows.by_id(self._claimed_row_id)
            if row is not None:
                rows.change(row, give_back)
        except WppError as failure:
            self._invocation.log.warning(
                "the lease could not be released; it runs out by itself", fields={"code": failure.code}
            )


class _SharedRefusal(UpstreamRefused):
    """What the holder of the claim was told, for those who waited for it."""

    def __init__(self, code: str, problem: str) -> None:
        Exception.__init__(self, problem)
        self.code = code
        self.upstream_status = self.retry_after = None


def _error_of(call: Callable[[], None]) -> UpstreamError | DeadlinePassed | None:
    try:
        call()
    except (UpstreamError, DeadlinePassed) as error:
        return error
    return None
