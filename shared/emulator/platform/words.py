"""What a word that a session may report means for its `start`, its `stop` and its QR.

The words are WPPConnect's StatusFind, SocketState and InterfaceState, and those of other gateways. The functions have a table of
their own: a mistake in it is not repeated here.
"""

from __future__ import annotations

import enum
import re


class Meaning(enum.Enum):
    CONNECTED = enum.auto()
    QR = enum.auto()
    """A QR can be read."""
    AFTER_THE_SCAN = enum.auto()
    """A phone is linked, but not connected at the moment."""
    CLOSED = enum.auto()
    """Ended; a phone that was linked still is, and `start` needs no QR."""
    LOGGED_OUT = enum.auto()
    """Ended, and no phone is linked."""
    RUNNING = enum.auto()
    """Before the QR, blocked, waiting for a passkey, or any word that is not known here: only a `stop` ends it."""


_WORDS = {
    Meaning.CONNECTED: "connected ready open authenticated inChat isLogged normal",
    Meaning.QR: "qr_required qr qrcode unpaired scan_qr_code",
    Meaning.AFTER_THE_SCAN: "pairing syncing resuming qrReadSuccess timeout phoneNotConnected",
    Meaning.CLOSED: "offline disconnected closed browserClose autocloseCalled serverClose failed stopped unlaunched",
    Meaning.LOGGED_OUT: """logout notLogged disconnectedMobile desconnectedMobile qrReadFail qrReadError
        UNPAIRED_IDLE""",
}


def _plain(word: str) -> str:
    return re.sub(r"[\s_-]", "", word).lower()


_MEANINGS = {_plain(word): meaning for meaning, words in _WORDS.items() for word in words.split()}
LINKED = frozenset({Meaning.CONNECTED, Meaning.AFTER_THE_SCAN})
ENDED = frozenset({Meaning.CLOSED, Meaning.LOGGED_OUT})


def meaning(word: str) -> Meaning:
    return _MEANINGS.get(_plain(word), Meaning.RUNNING)
