"""What the platform says of a session, in our words."""

from __future__ import annotations

import enum
from typing import Any


class State(enum.Enum):
    CONNECTED = "connected"
    STARTING = "starting"
    OFFLINE = "offline"
    QR_REQUIRED = "qr_required"


_WORDS = {
    "connected": State.CONNECTED,
    "ready": State.CONNECTED,
    "starting": State.STARTING,
    "pending": State.STARTING,
    "offline": State.OFFLINE,
    "qr_required": State.QR_REQUIRED,
}


class SessionState:
    def __init__(self, state: State, qr: str | None = None, warning: str | None = None) -> None:
        self.state = state
        self.qr = qr
        """A QR that came along: raw pairing text or a `data:` picture. It pairs a phone, so it is a credential."""
        self.warning = warning

    def __repr__(self) -> str:
        return f"SessionState({self.state.value})"


def read_state(body: Any) -> SessionState | None:
    """From an answer with `status` or `state`; None where there is neither. An unknown word counts as `qr_required`."""
    if not isinstance(body, dict):
        return None
    word = body.get("status") or body.get("state")
    if not isinstance(word, str):
        return None
    state = _WORDS.get(word.strip().lower())
    if state is not None:
        return SessionState(state)
    shown = "".join(c for c in word[:40] if c.isascii() and (c.isalnum() or c in "_-"))
    return SessionState(State.QR_REQUIRED, warning=f"unknown platform state '{shown}', handled as qr_required")


def read_qr(body: Any) -> str | None:
    """The QR under any of the names that the platform uses for it, or None while there is none."""
    if not isinstance(body, dict):
        return None
    data = body.get("data")
    nested = data.get("qr") if isinstance(data, dict) else None
    for value in (body.get("qr"), body.get("qrCode"), body.get("qrcode"), nested):
        if isinstance(value, str) and value:
            return value
    return None
