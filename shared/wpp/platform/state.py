"""What the platform reports of a session, in our words.

Gateways built on WPPConnect hand its own words on: StatusFind, SocketState and InterfaceState in its documentation.
"""

from __future__ import annotations

import enum
import re
from typing import Any, NamedTuple


class State(enum.Enum):
    CONNECTED = "connected"
    STARTING = "starting"
    """Before the QR."""
    QR_REQUIRED = "qr_required"
    PAIRING = "pairing"
    """After the scan: the phone is known, the connection is not up yet."""
    ENDED = "offline"
    BLOCKED = "blocked"
    """Nothing that we may do helps."""
    PASSKEY = "passkey"
    """The phone asks for a passkey."""


_WORDS = {
    State.CONNECTED: "connected ready open authenticated inChat isLogged normal",
    State.STARTING: "starting pending opening initBrowser initWhatsapp openedWhatsapp initializing connecting",
    State.QR_REQUIRED: "qr_required qr qrcode unpaired scan_qr_code",
    State.PAIRING: "pairing syncing resuming qrReadSuccess timeout phoneNotConnected",
    State.ENDED: """offline disconnected closed logout notLogged browserClose disconnectedMobile desconnectedMobile
        autocloseCalled serverClose qrReadFail qrReadError UNPAIRED_IDLE failed stopped unlaunched""",
    State.BLOCKED: "conflict TOS_BLOCK SMB_TOS_BLOCK PROXYBLOCK DEPRECATED_VERSION",
}
_SEPARATORS = re.compile(r"[\s_-]+")
_LONGEST_WORD = 64


def _normalized(word: str) -> str:
    return _SEPARATORS.sub("", word[:_LONGEST_WORD]).lower()


_STATES = {_normalized(word): state for state, words in _WORDS.items() for word in words.split()}
_PASSKEY_WARNING = (
    "WhatsApp asks this account for a passkey, which the platform may be unable to answer: "
    "continue on the phone, or link the number from a phone without a passkey"
)


class SessionState(NamedTuple):
    state: State
    qr: str | None = None
    """Raw pairing text or a `data:` picture. It pairs a phone, so it is a credential."""
    warning: str | None = None

    @property
    def is_settled(self) -> bool:
        """Whether there is nothing to wait for: the number is connected, or its QR can be scanned."""
        return self.state is State.CONNECTED or self.qr is not None

    def with_qr(self, qr: str | None) -> SessionState:
        return self._replace(state=State.QR_REQUIRED, qr=qr) if qr else self

    def __repr__(self) -> str:
        return f"SessionState({self.state.value!r}, qr={'***' if self.qr else None})"


def read_state(body: Any) -> SessionState | None:
    """From a response with `status` or `state`, or None if it has neither. An unknown word counts as `qr_required`."""
    if not isinstance(body, dict):
        return None
    word = body.get("status") or body.get("state")
    if not isinstance(word, str):
        return None
    normalized = _normalized(word)
    if normalized.startswith("passkey"):
        return SessionState(State.PASSKEY, warning=_PASSKEY_WARNING)
    state = _STATES.get(normalized)
    if state is State.BLOCKED:
        return SessionState(state, warning=f"the platform reports '{_shown(word)}': the session cannot be started")
    if state is not None:
        return SessionState(state)
    return SessionState(State.QR_REQUIRED, warning=f"unknown platform state '{_shown(word)}', handled as qr_required")


def read_qr(body: Any) -> str | None:
    """The QR under any of the names that the platform uses for it, or None while the platform has none yet."""
    if not isinstance(body, dict):
        return None
    data = body.get("data")
    nested = data.get("qr") if isinstance(data, dict) else None
    for value in (body.get("qr"), body.get("qrCode"), body.get("qrcode"), nested):
        if isinstance(value, str) and value:
            return value
    return None


def _shown(word: str) -> str:
    return "".join(c for c in word[:40] if c.isascii() and (c.isalnum() or c in "_-"))
