"""QRs that went by without a scan: when the phone asks for a passkey, that is all there is to see of it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from wpp.platform.state import State

if TYPE_CHECKING:
    from wpp.platform.state import SessionState
    from wpp.runtime import Memory

_MANY = 3
_WARNING = (
    "three QRs in a row were not scanned to the end: if the phone asks for a passkey or says 'Continue on WhatsApp Web', "
    "the platform may be unable to answer it; link the number from a phone without a passkey"
)


def unscanned_warning(memory: Memory, api_key: str, state: SessionState) -> str | None:
    """A warning from the third QR on that this process saw of a session since a phone was linked to it."""
    if state.state in (State.CONNECTED, State.PAIRING):
        memory.unscanned.forget(api_key)
        return None
    last, count = memory.unscanned.get(api_key) or ("", 0)
    if state.qr is not None:
        digest = hashlib.sha256(state.qr.encode("utf-8", "surrogatepass")).hexdigest()  # a QR itself is a credential
        if digest != last:
            count += 1
            memory.unscanned.put(api_key, (digest, count))
    return _WARNING if count >= _MANY else None
