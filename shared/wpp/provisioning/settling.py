"""A start or a stop takes a while to show in the session's state. Until then the state may still say "ended" or "connected", and
must not be believed."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from wpp.errors import SessionGone
from wpp.platform.state import SessionState, State

if TYPE_CHECKING:
    from wpp.http.upstream import Upstream
    from wpp.platform.client import WppClient
    from wpp.provisioning.record import Record

START_SECONDS = 10.0
"""The longest that a start may take to show."""
FENCE_SECONDS = 1.0
"""A start is sent at most this long after the claim was confirmed, unless confirming it takes longer three times in a row."""
_STOP_SECONDS = 3.0  # the longest that a stop is waited for
_LOOK_SECONDS = 0.5  # between two looks


def seconds_left(record: Record, now: float) -> float:
    """How long the last start may still take, zero or less if it has had its time. `now` is in seconds since 1970."""
    passed = abs(now - record.started_at) if record.started_at is not None else START_SECONDS
    return START_SECONDS - passed


def settled_state(
    upstream: Upstream, platform: WppClient, seconds: float, *, unknown_is_ended: bool = False
) -> SessionState:
    """The state once it is no longer "ended", or after so many seconds. Some gateways know a session only once it was started:
    with `unknown_is_ended` that counts as ended, otherwise it is SessionGone.

    Raises SessionGone, UpstreamError, DeadlinePassed.
    """
    until = upstream.clock.monotonic() + seconds
    while True:
        try:
            state = platform.status()
        except SessionGone:
            if not unknown_is_ended:
                raise
            state = SessionState(State.ENDED)
        if state.state is not State.ENDED or upstream.clock.monotonic() >= until:
            return state
        pause = min(_LOOK_SECONDS, until - upstream.clock.monotonic())
        upstream.deadline.sleep(pause, "waiting for the session to start")


def await_stop(upstream: Upstream, platform: WppClient) -> None:
    """Returns once the session is not connected any more, or after a few seconds. Raises UpstreamError, DeadlinePassed."""
    until, left = upstream.clock.monotonic() + _STOP_SECONDS, _STOP_SECONDS
    with suppress(SessionGone):
        while left > 0 and platform.status(left).state in (State.CONNECTED, State.PAIRING):
            upstream.deadline.sleep(_LOOK_SECONDS, "waiting for the session to stop")
            left = until - upstream.clock.monotonic()
