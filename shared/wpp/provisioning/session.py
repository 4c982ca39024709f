"""One client's WhatsApp session: where it stands, and what brings it forward - start, webhook, QR.

The live state decides, never a stored one, and a session that runs is never started again.
"""

from __future__ import annotations

import secrets
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

from wpp.errors import AMBIGUOUS, DeadlinePassed, UpstreamError, WppError
from wpp.platform.state import SessionState, State
from wpp.provisioning.access import patient_token
from wpp.provisioning.claim import (
    credentials_of,
    has_fresh_key,
    start_claim_of,
    start_claimed,
    token_of,
    webhook_pending,
    with_start,
    with_token,
    with_webhook,
    without_start,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import Future

    from wpp.platform.token import AccessToken
    from wpp.provisioning.creation import Made
    from wpp.provisioning.request import KeyedRequest
    from wpp.runtime import Invocation
    from wpp.supabase.rows import Integration

POLL_SECONDS = 0.15
"""Between two looks for a QR: it is shown at most this long after it exists, plus one call."""
_LONGEST_PAUSE = 2.0  # seconds between two looks while they fail
HELP_PATIENCE = 3.0
"""Seconds for what only helps: a webhook that the next call can register, a QR that may not be needed."""
START_LEASE = 10.0
"""Seconds for which a start keeps others from starting too: longer than the call may take."""
_STATUS_EVERY = 5  # looks for the QR between two looks at the status


class Session:
    """One invocation's dealings with one session."""

    def __init__(self, invocation: Invocation, made: Made, keyed: KeyedRequest | None = None) -> None:
        """`keyed` is noted as carried out."""
        self._invocation = invocation
        self._upstream = invocation.upstream
        self._made = made
        self._keyed = keyed
        self.client = made.client
        self._connected = invocation.runtime.memory.connected
        self._webhook_missing = webhook_pending(made.row)
        self.row = made.row

    def bring_forward(self) -> SessionState:
        """The session's state after starting it, if it was offline.

        Raises KeyRefused where the platform does not take the key any more; UpstreamError, DeadlinePassed.
        """
        if not self.client.has_token() and has_fresh_key(self.row, self._upstream.clock.now()):
            patient_token(self.client, self._upstream)
        self.client.token()
        said = self._read()
        if said.state is State.OFFLINE:
            said = self._start()
        self._warn_of(said)
        self._remember(said)
        self._note_late()
        return said

    def wait_for_qr(self, said: SessionState) -> SessionState:
        """Looks until there is a QR or the account is connected, for WPP_QR_WAIT_SECONDS within the deadline.

        Running out of time is no failure: the session is then still starting.
        """
        clock, deadline = self._upstream.clock, self._upstream.deadline
        until = clock.monotonic() + min(self._invocation.settings.qr_wait_seconds, deadline.remaining())
        trouble: UpstreamError | None = None
        looks, pause = 0, POLL_SECONDS
        while not _is_settled(said) and clock.monotonic() + pause < until:
            clock.sleep(pause)
            looks += 1
            try:
                said, trouble = self._look(with_status=looks % _STATUS_EVERY == 0), None
                if said.state is State.OFFLINE:
                    said = self._start()
                self._warn_of(said)
                pause = POLL_SECONDS
            except AMBIGUOUS as error:
                trouble = error
                pause = max(error.retry_after or 0.0, min(2 * pause, _LONGEST_PAUSE))
            except DeadlinePassed:
                break
        if trouble is not None:
            self._invocation.warn(f"the last look for a QR failed: {trouble}")
        self._remember(said)
        return said

    def _read(self) -> SessionState:
        """Status and QR in one wait, and beside them what is still to be written down."""
        with ExitStack() as stack:
            noting = hooking = reading = None
            if self._has_news():
                noting = stack.enter_context(self._upstream.alongside(self._note))
            if self._webhook_missing:
                hooking = stack.enter_context(self._upstream.alongside(self._register_webhook))
            if not self._connected.get(self.client.credentials.api_key):
                reading = stack.enter_context(self._upstream.alongside(lambda: self.client.qr(HELP_PATIENCE)))
            said = self.client.status()
        if noting and not self.row.is_active:
            noting.result()  # an inactive row must not be answered as a connection
        if hooking and hooking.result():
            self._webhook_missing = False
        if reading is None and said.state is State.QR_REQUIRED:
            return _with(said, self.client.qr())  # it was connected when this process last saw it, and is not any more
        if reading and said.state is State.QR_REQUIRED and isinstance(reading.exception(), AMBIGUOUS):
            return _with(said, self.client.qr())  # it was only tried, and is needed after all
        return _with_qr(said, reading)

    def _start(self) -> SessionState:
        """Starts an offline session, unless somebody else is at it: two starts throw the first one's QR away."""
        start = self._claim_start()
        if start is None:
            return SessionState(State.STARTING)
        try:
            with self._upstream.alongside(self._register_webhook) as hooking:
                said = self._start_once()
        except Exception:
            self._release_start(start)
            raise
        self._webhook_missing = not hooking.result()
        return said

    def _claim_start(self) -> str | None:
        """The id of our claim on the start, None while somebody else's is live."""
        start, now = secrets.token_hex(8), self._upstream.clock.now()

        def claim(current: Integration) -> Mapping[str, Any] | None:
            if start_claimed(current, now):
                return None
            return {"settings": with_start(current.settings, start, now + START_LEASE)}

        changed = self._invocation.rows.change(self.row, claim)
        if changed is None:
            return start  # the row is gone: nobody else will start it
        self.row = changed
        return start if start_claim_of(changed) == start else None

    def _release_start(self, start: str) -> None:
        def release(current: Integration) -> Mapping[str, Any] | None:
            return {"settings": without_start(current.settings)} if start_claim_of(current) == start else None

        with suppress(WppError):  # it runs out by itself
            self.row = self._invocation.rows.change(self.row, release) or self.row

    def _warn_of(self, said: SessionState) -> None:
        if said.warning and said.warning not in self._invocation.warnings:
            self._invocation.warn(said.warning)

    def _start_once(self) -> SessionState:
        try:
            return self.client.start()
        except AMBIGUOUS as error:
            # It may be starting all the same, and a second start would throw its QR away: look before trying again.
            self._upstream.pause_after(error, 1)
            said = self.client.status()
            return self.client.start() if said.state is State.OFFLINE else said

    def _look(self, *, with_status: bool) -> SessionState:
        if not with_status:
            qr = self.client.qr()
            return SessionState(State.QR_REQUIRED if qr else State.STARTING, qr)
        with self._upstream.alongside(self.client.qr) as reading:
            said = self.client.status()
        return _with_qr(said, reading)

    def _register_webhook(self) -> bool:
        try:
            self.client.webhook(self._invocation.settings.wpp_webhook_url, HELP_PATIENCE)
        except WppError as error:
            self._invocation.warn(f"the webhook is not registered yet, the next call tries again: {error}")
            return False
        return True

    def _has_news(self) -> bool:
        webhook_changed = self._webhook_missing != webhook_pending(self.row)
        unrecorded = self._keyed is not None and not self._keyed.check([self.row])
        news = (self.client.unsaved_token(), not self.row.is_active, webhook_changed, unrecorded)
        return any(news)

    def _note(self) -> None:
        """Writes down what this invocation learned: the token in use, an active row, whether the webhook is missing."""
        token = self.client.unsaved_token()
        changed = self._invocation.rows.change(self.row, lambda current: self._noted(current, token))
        if changed is not None:
            self.row = changed
        if token is not None:
            self.client.token_saved(token)

    def _noted(self, current: Integration, token: AccessToken | None) -> Mapping[str, Any] | None:
        if credentials_of(current) != self.client.credentials:
            return None  # replaced in the meantime
        stored = token_of(current)
        settings = current.settings
        if token and (stored is None or stored.expires_at < token.expires_at or stored.text == self.client.refused):
            settings = with_token(settings, token)
        settings = with_webhook(settings, pending=self._webhook_missing)
        if self._keyed:
            settings = self._keyed.recorded(settings, self._upstream.clock.now())
        if current.is_active and settings == current.settings:
            return None
        return {"settings": settings, "is_active": True}

    def _note_late(self) -> None:
        """What became known after the row was written. A later call does again what fails here."""
        # Right after a creation the webhook's flag is left for the next call to clear: one wait less now, one call more then.
        if self._made.created and not self._webhook_missing:
            self._webhook_missing = webhook_pending(self.row)
        if not self._has_news():
            return
        try:
            self._note()
        except WppError as error:
            self._invocation.log.warning("the connection's row could not be updated", fields={"code": error.code})

    def _remember(self, said: SessionState) -> None:
        if said.state is State.CONNECTED:
            self._connected.put(self.client.credentials.api_key, True)
        else:
            self._connected.forget(self.client.credentials.api_key)


def _is_settled(said: SessionState) -> bool:
    return said.state is State.CONNECTED or said.qr is not None


def _with_qr(said: SessionState, reading: Future[str | None] | None) -> SessionState:
    """A state with the QR that was read beside it. A failed reading counts only where there should be a QR."""
    if reading is None or said.state in (State.CONNECTED, State.OFFLINE):
        return said
    error = reading.exception()
    if error is not None and (said.state is State.QR_REQUIRED or not isinstance(error, WppError)):
        raise error
    return _with(said, None if error is not None else reading.result())


def _with(said: SessionState, qr: str | None) -> SessionState:
    return SessionState(State.QR_REQUIRED if qr else said.state, qr, said.warning)
