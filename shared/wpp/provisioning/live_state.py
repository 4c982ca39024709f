"""The live state of a session, read from the platform: status and QR in one round trip."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wpp.errors import AMBIGUOUS, WppError
from wpp.platform.state import SessionState, State

if TYPE_CHECKING:
    from concurrent.futures import Future

    from wpp.platform.client import WppClient
    from wpp.runtime import Invocation

_EARLY_QR_PATIENCE = 3.0  # seconds


def live_state(invocation: Invocation, platform: WppClient) -> SessionState:
    """Raises SessionGone, KeyRefused, UpstreamError, DeadlinePassed."""
    api_key, connected = platform.credentials.api_key, invocation.memory.connected
    if connected.get(api_key):  # its QR is not worth asking for in advance
        state, qr_future = platform.status(), None
    else:
        with invocation.alongside_briefly(lambda: platform.qr(_EARLY_QR_PATIENCE)) as early:
            state = platform.status()
        qr_future = early if early.done() else None
    if state.state is State.CONNECTED:
        connected.put(api_key, True)
    else:
        connected.forget(api_key)
    if state.state is State.QR_REQUIRED and (qr_future is None or isinstance(qr_future.exception(), AMBIGUOUS)):
        return state.with_qr(platform.qr())  # it was not asked for, or only tried, and is needed after all
    return with_qr(state, qr_future)


def with_qr(state: SessionState, qr_future: Future[str | None] | None) -> SessionState:
    """A state with the QR that was read beside it. A failed reading counts only where there should be a QR."""
    if qr_future is None or state.state not in (State.STARTING, State.QR_REQUIRED):
        return state
    error = qr_future.exception()
    if error is None:
        return state.with_qr(qr_future.result())
    if state.state is State.QR_REQUIRED or not isinstance(error, WppError):
        raise error
    return state
