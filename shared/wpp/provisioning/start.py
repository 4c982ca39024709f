"""Starts an ended session exactly once: a second start would throw away the QR that the first one led to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wpp.errors import AMBIGUOUS, DeadlinePassed, UpstreamRefused, WppError
from wpp.platform.state import SessionState, State
from wpp.provisioning.claim import ClaimLost, HeldClaim
from wpp.provisioning.liveness import Liveness
from wpp.provisioning.record import record_of

if TYPE_CHECKING:
    from wpp.platform.client import WppClient
    from wpp.provisioning.client import Client
    from wpp.provisioning.updates import RowUpdates
    from wpp.runtime import Invocation
    from wpp.supabase.rows import Integration

START_SECONDS = 10.0
"""The longest that a start may take to show in the session's state."""
_LOOK_SECONDS = 0.5  # between two looks at a session that somebody may just have started
_SOMEBODY_ELSE_IS_STARTING = SessionState(State.STARTING)


class Start:
    """One invocation's start of one session that was just seen to have ended."""

    def __init__(self, invocation: Invocation, client: Client, updates: RowUpdates) -> None:
        self._invocation = invocation
        self._upstream = invocation.upstream
        self._clock = invocation.upstream.clock
        self._liveness = Liveness(invocation.memory, self._clock)
        self._platform: WppClient = client.platform
        self._updates = updates
        self._was_sent = False

    def of_new_client(self, claim: HeldClaim) -> SessionState:
        """Starts the session of a client that this invocation created, whose claim it still holds.

        The claim is released beside the start. Whoever looks in between finds when it was, and gives it time.
        Raises UpstreamError, DeadlinePassed.
        """
        try:
            claim.confirm()
        except ClaimLost:
            return _SOMEBODY_ELSE_IS_STARTING
        self._updates.record_start()
        self._was_sent = True
        try:
            with self._upstream.alongside(lambda: self.release(claim)):
                return self._platform.start()
        except AMBIGUOUS:
            return self.of_known_client()
        except UpstreamRefused:
            self._updates.record_refused_start()
            with self._updates.saving():
                raise

    def of_known_client(self) -> SessionState:
        """Claims the start, and sends it unless somebody else has. Raises UpstreamError, DeadlinePassed."""
        claim = HeldClaim(self._invocation, "start")
        was_dead_start = False

        def is_free(current: Integration) -> bool:
            nonlocal was_dead_start
            record = record_of(current)
            is_live = self._liveness.is_live(record)
            was_dead_start = not is_live and record.claim is not None and record.claim.is_start
            return record.credentials == self._platform.credentials and not is_live

        try:
            row, was_untouched = claim.take(self._updates.row, is_free)
        except Exception:
            claim.release()
            raise
        if row is None or claim.row is None:
            return _SOMEBODY_ELSE_IS_STARTING
        settling = START_SECONDS if was_dead_start or self._was_sent else max(self._seconds_since_start_left(row), 0.0)
        try:
            state = SessionState(State.ENDED)
            if settling or not was_untouched:
                state = self._settled_state(settling)
            if state.state is State.ENDED:
                state = self._sent(claim)
        except (*AMBIGUOUS, DeadlinePassed):
            if self._was_sent:  # it may be under way all the same: whoever finds the claim dead gives it time
                claim.drop()
            else:
                claim.release()
            raise
        except ClaimLost:
            claim.drop()
            return _SOMEBODY_ELSE_IS_STARTING
        except Exception:
            claim.release()
            raise
        self.release(claim)
        return state

    def _sent(self, claim: HeldClaim) -> SessionState:
        claim.confirm()
        with self._updates.registering_webhook():
            try:
                return self._send()
            except AMBIGUOUS as error:
                self._upstream.pause_after(error, 1)
        state = self._settled_state(START_SECONDS)
        if state.state is not State.ENDED:
            return state
        claim.confirm()
        return self._send()

    def _send(self) -> SessionState:
        self._updates.record_start()
        self._was_sent = True
        return self._platform.start()

    def _settled_state(self, seconds: float) -> SessionState:
        """The state once it is no longer "ended", or after so many seconds."""
        until = self._clock.monotonic() + seconds
        while True:
            state = self._platform.status()
            if state.state is not State.ENDED or self._clock.monotonic() >= until:
                return state
            self._upstream.deadline.sleep(_LOOK_SECONDS, "waiting for the session to start")

    def _seconds_since_start_left(self, row: Integration) -> float:
        """How long the last start may still take, by the clock of whoever sent it."""
        started = record_of(row).started_at
        passed = abs(self._clock.now() - started) if started is not None else START_SECONDS
        return START_SECONDS - passed

    def release(self, claim: HeldClaim) -> None:
        """With all that is known by now, so that it takes one request."""
        try:
            self._updates.row = claim.change(self._updates.apply, release=True)
        except ClaimLost:
            claim.drop()
        except WppError:
            claim.release()
