"""One client's WhatsApp session: the state that it is in, and what it still needs - start, webhook, QR.

The live state decides, never a stored one, and a session that runs is never started again.
"""

from __future__ import annotations

import math
from contextlib import ExitStack
from typing import TYPE_CHECKING

from wpp.cache import Shared
from wpp.errors import AMBIGUOUS, DeadlinePassed, SessionGone, UpstreamError, UpstreamRefused
from wpp.platform.state import SessionState, State
from wpp.provisioning.client import ensure_token
from wpp.provisioning.live_state import live_state, with_qr
from wpp.provisioning.pauses import pause_after
from wpp.provisioning.start import Start
from wpp.provisioning.unscanned_qrs import unscanned_warning
from wpp.provisioning.updates import WEBHOOK_PATIENCE, RowUpdates

if TYPE_CHECKING:
    from wpp.platform.client import Credentials
    from wpp.provisioning.client import Client
    from wpp.provisioning.idempotency import KeyedRequest
    from wpp.runtime import Invocation
    from wpp.supabase.rows import Integration

_LONGEST_PAUSE = 2.0  # seconds between two looks while they fail
_REFUSAL_DOUBT = 2.0
"""Seconds in which refused looks are not believed: a gateway that restarts may refuse for a moment what it accepts otherwise."""
_STATUS_EVERY = 5  # looks for the QR between two looks at the status


class Session:
    """One invocation's dealings with one session."""

    def __init__(
        self, invocation: Invocation, client: Client, keyed: KeyedRequest | None = None, *, waits: bool = False
    ) -> None:
        """`keyed` is recorded as carried out. With `waits`, the caller calls `wait_for_qr`, even if the state is settled."""
        self._invocation = invocation
        self._upstream = invocation.upstream
        self._client = client
        self._platform = client.platform
        self._claim = client.claim
        """Held only until the session of a new client was started."""
        self._updates = RowUpdates(invocation, client, keyed)
        self._leaves_webhook = waits and self._updates.are_left_to_holder
        """To somebody else who is at work on the row. In the end it is registered here, unless it was seen to be done."""
        self._start = Start(invocation, client, self._updates)

    @property
    def row(self) -> Integration:
        """As it was last read or written."""
        return self._updates.row

    @property
    def credentials(self) -> Credentials:
        return self._platform.credentials

    def ensure_started(self, *, unknown_is_ended: bool = False) -> SessionState:
        """The session's state, after starting it if it had ended.

        Raises KeyRefused if the platform does not accept the key any more, SessionGone if it does not know the session and that
        does not count as ended, UpstreamError, DeadlinePassed.
        """
        claim, self._claim = self._claim, None
        try:
            try:
                state = self._read(is_new=claim is not None)
            except SessionGone:
                if not unknown_is_ended:
                    raise
                state = SessionState(State.ENDED)
            self._updates.may_have_ended = state.state is State.ENDED
            if state.state is State.ENDED:
                state = self._start.of_new_client(claim) if claim else self._start.of_ended_session()
            elif claim:
                self._note(state)  # saved by the release
                self._start.release(claim)
            elif state.state is State.STARTING:
                state = self._not_stuck(state)
        except Exception:
            if claim:
                claim.release()
            raise
        self._note(state)
        self._save()
        return state

    def _not_stuck(self, state: SessionState) -> SessionState:
        """The state of a session before its QR, after restarting it if it has been there for too long."""
        if self._start.was_restarted_in_vain:
            self._invocation.warn(
                "the session was started again before and still has no QR; force_recreate replaces it"
            )
        if self._start.is_restart_held_back:
            self._invocation.warn(
                "the session does not get back to its QR, and is not started again by itself, as a phone may have scanned the "
                "last one; force_recreate replaces it"
            )
        if not self._start.is_restart_due(self._updates.record):
            return state
        try:
            return self._start.of_stuck_session()
        except UpstreamError as error:
            self._invocation.warn(f"the session does not get to its QR and could not be started again: {error}")
            return state

    def wait_for_qr(self, state: SessionState) -> SessionState:
        """Looks until there is a QR or the number is connected, for WPP_QR_WAIT_SECONDS within the deadline.

        Running out of time is not a failure: the session is then still starting.
        """
        memory, api_key = self._invocation.memory, self.credentials.api_key
        try:
            with memory.looked_for.using(api_key):
                state, trouble = self._looked_for_qr(state)
        finally:
            if api_key not in memory.looked_for:
                memory.looks.forget(api_key)  # whoever has its QR can take the number over
        if trouble is not None:
            self._invocation.warn(f"the last look for a QR failed: {trouble}")
        self._save()
        if self._leaves_webhook and self._updates.needs_webhook:
            with self._updates.registering_webhook():
                pass
            self._save()
        return state

    def _looked_for_qr(self, state: SessionState) -> tuple[SessionState, UpstreamError | None]:
        """With what is wrong with the last look."""
        clock = self._upstream.clock
        began = clock.monotonic()
        until = began + min(self._invocation.config.qr_wait_seconds, self._upstream.deadline.remaining())
        trouble: UpstreamError | None = None
        refused_since = math.inf
        looks, pause = 0, pause_after(0.0, len(self._invocation.memory.looked_for))
        while not state.is_settled and state.state is not State.BLOCKED and clock.monotonic() + pause < until:
            clock.sleep(pause)
            looks += 1
            is_starting = False
            try:
                state, trouble = self._shared_look(pause, with_status=looks % _STATUS_EVERY == 0), None
                refused_since = math.inf
                is_starting = state.state is State.ENDED
                if is_starting:
                    state = self._start.of_ended_session()
                    began = clock.monotonic() if self._start.was_sent else began
                    if self._updates.record.is_disconnected and not self._updates.may_start:
                        break  # by somebody else, since this call began
                self._note(state)  # the next look may not tell it any more
                pause = pause_after(clock.monotonic() - began, len(self._invocation.memory.looked_for))
            except (*AMBIGUOUS, UpstreamRefused) as error:
                if isinstance(error, UpstreamRefused) and not isinstance(error, SessionGone):
                    refused_since = min(refused_since, clock.monotonic())
                    if is_starting or clock.monotonic() - refused_since >= _REFUSAL_DOUBT:
                        raise
                else:
                    refused_since = math.inf
                trouble = error
                pause = max(error.retry_after or 0.0, min(2 * pause, _LONGEST_PAUSE))
            except DeadlinePassed:
                break
        return state, trouble

    def _shared_look(self, pause: float, *, with_status: bool) -> SessionState:
        """The state now, or as somebody else who waits for this session has just seen it."""
        look = self._invocation.memory.looks.setdefault(self.credentials.api_key, Shared())
        patience = min(pause, self._upstream.deadline.remaining())
        return look.result(pause / 2, patience, self._upstream.clock, lambda: self._look(with_status=with_status))

    def _read(self, *, is_new: bool) -> SessionState:
        """Status and QR in one round trip, and beside them what is still to be done for the row."""
        ensure_token(self._invocation, self._client)
        activation = None
        with ExitStack() as stack:
            if not is_new and not self.row.is_active:
                activation = stack.enter_context(self._upstream.alongside(self._updates.save))
            elif not is_new and not self._updates.are_saved:
                stack.enter_context(self._updates.saving())
            if self._updates.needs_webhook and not self._leaves_webhook:
                stack.enter_context(self._updates.registering_webhook(WEBHOOK_PATIENCE if is_new else None))
            state = live_state(self._invocation, self._platform)
        if activation:
            activation.result()  # an inactive row must not be answered as a connection
        return state

    def _look(self, *, with_status: bool) -> SessionState:
        if not with_status:
            return SessionState(State.STARTING).with_qr(self._platform.qr())
        with self._upstream.alongside(self._platform.qr) as qr_future:
            state = self._platform.status()
        return with_qr(state, qr_future)

    def _note(self, state: SessionState) -> None:
        for warning in (state.warning, unscanned_warning(self._invocation.memory, self.credentials.api_key, state)):
            if warning:
                self._invocation.warn(warning)
        self._updates.observe(state)

    def _save(self) -> None:
        """Where that only helps."""
        self._updates.catch_up()
        if not self._updates.are_saved:
            with self._updates.saving():
                pass
