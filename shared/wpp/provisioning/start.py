"""Starts an ended session, and restarts a stuck one, exactly once: a second start would throw away the QR of the first."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from wpp.errors import AMBIGUOUS, DeadlinePassed, SessionGone, UpstreamRefused, WppError
from wpp.platform.state import SessionState, State
from wpp.provisioning.claim import ClaimLost, HeldClaim
from wpp.provisioning.decide import restart_is_due, restart_is_held_back, restart_was_in_vain
from wpp.provisioning.liveness import Liveness
from wpp.provisioning.record import Record, record_of
from wpp.provisioning.settling import FENCE_SECONDS, START_SECONDS, seconds_left, settled_state

if TYPE_CHECKING:
    from collections.abc import Callable

    from wpp.platform.client import WppClient
    from wpp.provisioning.client import Client
    from wpp.provisioning.record import Doing
    from wpp.provisioning.updates import RowUpdates
    from wpp.runtime import Invocation
    from wpp.supabase.rows import Integration

_STOP_PATIENCE = 5.0  # seconds
_CONFIRMATIONS = 3  # of a claim, where each takes too long to be followed by a start
_SOMEBODY_ELSE_IS_STARTING = SessionState(State.STARTING)


class Start:
    """One invocation's start of one session."""

    def __init__(self, invocation: Invocation, client: Client, updates: RowUpdates) -> None:
        self._invocation = invocation
        self._upstream = invocation.upstream
        self._clock = invocation.upstream.clock
        self._liveness = Liveness(invocation.memory, self._clock)
        self._platform: WppClient = client.platform
        self._updates = updates
        self.was_sent = False
        """Whether this invocation has started the session, or may have."""

    def of_new_client(self, claim: HeldClaim) -> SessionState:
        """Starts the session of a client that this invocation created, whose claim it still holds.

        The claim is released beside the start. Whoever looks in between finds when it was, and gives it time.
        Raises UpstreamError, DeadlinePassed.
        """
        with ExitStack() as beside:

            def fence() -> None:
                if self.was_sent:  # its token was refused, and the claim is released by now
                    raise ClaimLost
                self._fence(claim)
                beside.enter_context(self._upstream.alongside(lambda: self.release(claim)))

            try:
                return self._platform.start(fence)
            except (*AMBIGUOUS, ClaimLost, UpstreamRefused) as error:
                failure = error
        if not self.was_sent:
            if isinstance(failure, ClaimLost):
                return _SOMEBODY_ELSE_IS_STARTING
            raise failure
        if isinstance(failure, UpstreamRefused):
            self._updates.record_refused_start()
            with self._updates.saving():
                raise failure
        return self.of_ended_session()

    def of_ended_session(self) -> SessionState:
        """Claims the start, and sends it unless somebody else has. Raises UpstreamError, DeadlinePassed."""
        return self._under_claim("start", lambda _: True, self._start_if_ended)

    def of_stuck_session(self) -> SessionState:
        """Claims the restart of a session that does not get to its QR: stops it and starts it again, unless somebody else has, or
        it has a QR by now. Raises UpstreamError, DeadlinePassed.
        """
        return self._under_claim("restart", self.is_restart_due, self._restart_if_stuck)

    def is_restart_due(self, record: Record) -> bool:
        return restart_is_due(record, self._clock.now(), self._invocation.config.restart_after_seconds)

    @property
    def was_restarted_in_vain(self) -> bool:
        after = self._invocation.config.restart_after_seconds
        return restart_was_in_vain(self._updates.record, self._clock.now(), after)

    @property
    def is_restart_held_back(self) -> bool:
        after = self._invocation.config.restart_after_seconds
        return restart_is_held_back(self._updates.record, self._clock.now(), after)

    def _under_claim(
        self, doing: Doing, is_due: Callable[[Record], bool], work: Callable[[HeldClaim, float | None], SessionState]
    ) -> SessionState:
        """The state after `work` under a claim, unless somebody else is at work on the session.

        `work` gets the seconds for which an earlier start may take effect yet, or None if nothing has happened since the state
        was read.
        """
        claim = HeldClaim(self._invocation, doing)
        after_dead_start: float | None = None
        may_start = self._updates.may_start

        def is_ours_to_take(current: Integration) -> bool:
            nonlocal after_dead_start
            record = record_of(current)
            is_live = self._liveness.is_live(record)
            after_dead_start = self._liveness.start_seconds_left(record)
            is_ours = record.credentials == self._platform.credentials and not is_live
            # A number that somebody disconnects while this call is under way stays disconnected.
            return is_ours and (may_start or not record.is_disconnected) and is_due(record)

        try:
            row, was_untouched = claim.take(self._updates.row, is_ours_to_take)
        except Exception:
            claim.release()
            raise
        if row is None:
            return _SOMEBODY_ELSE_IS_STARTING
        if claim.row is None:
            self._updates.is_now(row)
            return _SOMEBODY_ELSE_IS_STARTING
        after_own_start = START_SECONDS if self.was_sent else 0.0
        settling = max(seconds_left(record_of(row), self._clock.now()), after_dead_start or 0.0, after_own_start)
        is_state_current = was_untouched and after_dead_start is None and settling <= 0
        dead_start_until = self._clock.monotonic() + (after_dead_start or 0.0)
        try:
            state = work(claim, None if is_state_current else settling)
        except ClaimLost:
            claim.drop()
            return _SOMEBODY_ELSE_IS_STARTING
        except Exception as error:
            if not self.was_sent:
                self._release_unsettled(claim, dead_start_until)
            elif isinstance(error, (*AMBIGUOUS, DeadlinePassed)):
                claim.drop()  # it may be under way all the same: whoever finds the claim dead gives it time
            else:
                claim.release()
            raise
        self.release(claim)
        return state

    def _release_unsettled(self, claim: HeldClaim, dead_start_until: float) -> None:
        """Has the next caller give what is left of its time to a start that somebody who died may have sent: the
        release removes the claim that told of it."""
        left = min(dead_start_until - self._clock.monotonic(), START_SECONDS)
        if left > 0:
            self._updates.record_possible_start(self._clock.now() + left - START_SECONDS)
        claim.release(change=self._updates.apply)

    def _start_if_ended(self, claim: HeldClaim, settling: float | None) -> SessionState:
        if settling is not None:
            state = self._settled_state(settling)
            if state.state is not State.ENDED:
                return state
        return self._started(claim)

    def _restart_if_stuck(self, claim: HeldClaim, settling: float | None) -> SessionState:
        if settling is not None:
            self._settled_state(settling)
        # Saved before the stop: whatever becomes of this attempt, and of this process, the next one comes later.
        self._updates.record_start(is_restart=True)
        self._updates.save_under(claim)
        if self._updates.record.was_paired:  # noted by somebody else meanwhile
            return _SOMEBODY_ELSE_IS_STARTING
        state = self._state_right_now(claim)
        if state.state is State.ENDED:
            return self._started(claim)
        if state.state is not State.STARTING:
            return state
        self._invocation.count("restart")
        self._invocation.warn("the session did not get to its QR and was started again")
        with suppress(SessionGone):
            self._platform.stop(_STOP_PATIENCE, once=True, fence=claim.confirm)
        return self._started(claim)

    def _state_right_now(self, claim: HeldClaim) -> SessionState:
        """Read so shortly ago that nothing has come in between, not even a confirmation of the claim."""
        while True:
            qr = self._platform.qr()
            state = self._platform.status()  # last: the phone may have scanned the QR by then
            if state.state is not State.STARTING or qr is not None:
                return state.with_qr(qr) if state.state in (State.STARTING, State.QR_REQUIRED) else state
            if claim.is_confirmed():
                return state
            claim.confirm()

    def _started(self, claim: HeldClaim) -> SessionState:
        def fence() -> None:
            self._fence(claim)

        with self._updates.registering_webhook():
            try:
                return self._platform.start(fence)
            except AMBIGUOUS as error:
                if not self.was_sent:
                    raise
                self._upstream.pause_after(error, 1)
        state = self._settled_state(START_SECONDS)
        return self._platform.start(fence) if state.state is State.ENDED else state

    def _fence(self, claim: HeldClaim) -> None:
        """Of `start`: from now on it may have its effect."""
        for _ in range(_CONFIRMATIONS):
            claim.confirm(FENCE_SECONDS)
            if claim.is_confirmed(FENCE_SECONDS):
                break
        self._updates.record_start()
        self.was_sent = True
        self._invocation.count("start")

    def _settled_state(self, seconds: float) -> SessionState:
        return settled_state(self._upstream, self._platform, seconds)

    def release(self, claim: HeldClaim) -> None:
        """With all that is known by now, so that it takes one request."""
        try:
            self._updates.save_under(claim, release=True)
        except ClaimLost:
            claim.drop()
        except WppError:
            claim.release()
