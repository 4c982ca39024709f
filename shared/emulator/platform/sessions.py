"""The life of WhatsApp sessions: started, scanned, connected, stopped, and all that goes wrong on the way.

What a real platform does that this one does not:

- It takes time for `stop`, and for `start` to bring back a phone that is still linked; here both are done with the answer.
- A phone can only scan a QR that is valid; here `scan` works at any time.
- A word is what a test or a person says, not the result of anything. The time it was reported for does not advance the life below
  it, and a banned number ("TOS_BLOCK") is free again after `stop` and `start`.
- Whoever reads the state may see `timeout` or `phoneNotConnected` for seconds now and then; here only on demand.
- A session that was lost and comes back may have lost its phone, too. Here it comes back as it was: `disconnect` plays the other.
- Whoever holds the passkey can go on in WhatsApp Web, and be asked to scan another QR for that. Here nobody ever answers.
- Events go to the webhook's address. Here it is remembered, and nothing is ever sent to it.
"""

from __future__ import annotations

import base64
import secrets
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from emulator.platform.settings import Settings
from emulator.platform.words import ENDED, LINKED, Meaning, meaning

if TYPE_CHECKING:
    from emulator.clock import Clock


@dataclass
class Session:
    name: str
    started_at: float | None = None
    connected: bool = False
    """Whether a phone is linked."""
    scans: int = 0
    scanned_at: float = 0.0
    starts: int = 0
    """How often `start` was asked for it, in vain or not, or `create` started it."""
    stops: int = 0
    restarts: int = 0
    """How often it was started while it ran, which invalidates its QR."""
    invalidated_qrs: int = 0
    """How many QRs that somebody had read, and that were still valid, a `start` or `stop` took away."""
    unlinked_phones: int = 0
    """How often it was stopped while a phone was linked to it."""
    webhook: str | None = None
    webhooks: int = 0
    """How often its webhook was registered."""
    word: str | None = None
    """What it reports instead of its state."""
    word_until: float | None = None
    is_stuck: bool = False
    """Whether it stays before its QR until it is stopped and started again."""
    restarts_needed: int = 0
    """How often, while it is stuck."""
    is_gone: bool = False
    """Whether the platform has lost it, until `create` is asked for its client again."""
    qrs: dict[int, str] = field(default_factory=dict)
    """Those that were read since the last start, by their number."""
    tokens_valid_from: float = 0.0


class Sessions:
    """Behind one lock, as behind the transactions of the platform's database."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.settings = Settings()
        self.lock = threading.RLock()
        self.sessions: dict[str, Session] = {}

    def state(self, session: Session) -> str:
        with self.lock:
            return self._word(session) or self._natural_state(session)

    def qr(self, session: Session) -> str | None:
        with self.lock:
            if self._meaning(session) is not Meaning.QR or self._natural_state(session) != "qr_required":
                return None
            number = self._qr_number(session)
            if number not in session.qrs:
                session.qrs[number] = self._draw()
            return session.qrs[number]

    def is_linked(self, session: Session) -> bool:
        """Whether a `stop` would unlink a phone."""
        with self.lock:
            reported = self._meaning(session)
            return reported in LINKED or (session.connected and reported is not Meaning.LOGGED_OUT)

    def is_connected(self, session: Session) -> bool:
        with self.lock:
            return self._meaning(session) is Meaning.CONNECTED

    def start(self, session: Session) -> None:
        with self.lock:
            session.starts += 1
            has_ended = self._meaning(session) in ENDED
            linked = self.is_linked(session)
            if linked and not has_ended:
                return
            if has_ended:
                session.word = None
                session.connected = linked
            else:
                session.restarts += 1
                self._invalidate_qr(session)
            session.started_at = self.clock.now()
            session.qrs = {}

    def stop(self, session: Session) -> None:
        """Logs the phone out."""
        with self.lock:
            session.stops += 1
            session.unlinked_phones += self.is_linked(session)
            self._invalidate_qr(session)
            if session.is_stuck and session.started_at is not None:
                session.restarts_needed -= 1
                session.is_stuck = session.restarts_needed > 0
            self.disconnect(session.name)

    def register_webhook(self, session: Session, url: str) -> None:
        with self.lock:
            session.webhook = url
            session.webhooks += 1

    # What a person or WhatsApp does, or a test in their place.

    def scan(self, session: str) -> None:
        """A phone scans the QR."""
        with self.lock:
            scanned = self.sessions[session]
            scanned.scans += 1
            if self.settings.scans_do_nothing:
                return
            if self.settings.passkey_word:
                self.report(session, self.settings.passkey_word, self.settings.passkey_seconds)
                return
            scanned.word = None
            scanned.connected = True
            scanned.scanned_at = self.clock.now()

    def disconnect(self, session: str) -> None:
        """The session is logged out: from the phone, or by `stop`."""
        with self.lock:
            ended = self.sessions[session]
            ended.connected = False
            ended.started_at = None
            ended.word = None
            ended.qrs = {}

    def report(self, session: str, word: str | None, seconds: float | None = None) -> None:
        """The session reports this word instead of its state, for a while or until something ends it; None ends it, too.

        A `start` ends a word for an ended session, but no other: only `stop` does.
        """
        with self.lock:
            self.sessions[session].word = word
            self.sessions[session].word_until = None if seconds is None else self.clock.now() + seconds

    def stick(self, session: str, restarts: int = 1) -> None:
        """The session stays before its QR until it is stopped and started this often."""
        with self.lock:
            self.sessions[session].is_stuck = True
            self.sessions[session].restarts_needed = restarts

    def lose(self, session: str) -> None:
        """The platform does not know the session any more, until `create` is asked for its client again."""
        with self.lock:
            self.sessions[session].is_gone = True

    def _word(self, session: Session) -> str | None:
        if session.word_until is not None and session.word_until <= self.clock.now():
            session.word = session.word_until = None
        return session.word

    def _meaning(self, session: Session) -> Meaning:
        return meaning(self.state(session))

    def _natural_state(self, session: Session) -> str:
        if session.connected:
            is_syncing = self.clock.now() - session.scanned_at < self.settings.sync_seconds
            return self.settings.sync_word if is_syncing else "connected"
        if session.started_at is None:
            return "offline"
        if self.settings.stuck_starting or session.is_stuck or self._running_for(session) < self.settings.qr_delay:
            return "starting"
        if self.settings.auto_connect:
            session.connected = True
            return "connected"
        return "qr_required"

    def _running_for(self, session: Session) -> float:
        return self.clock.now() - (session.started_at or 0.0)

    def _qr_number(self, session: Session) -> int:
        return int((self._running_for(session) - self.settings.qr_delay) / self.settings.qr_lifetime)

    def _invalidate_qr(self, session: Session) -> None:
        """Also while another word is reported: the QR on somebody's screen is valid all the same."""
        if self._natural_state(session) == "qr_required" and self._meaning(session) not in ENDED:
            session.invalidated_qrs += self._qr_number(session) in session.qrs

    def _draw(self) -> str:
        parts = [base64.b64encode(secrets.token_bytes(32)).decode() for _ in range(3)]
        text = "2@" + ",".join(parts)
        if not self.settings.qr_as_png:
            return text
        import segno

        return str(segno.make(text).png_data_uri(scale=4))
