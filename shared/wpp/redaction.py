"""The last line of defence: what a log line must never hold is taken out of it, whoever wrote it and however it got there.

Nothing here excuses logging a credential. It is for the exception text, the library and the mistake that nobody thought of.
"""

from __future__ import annotations

import json
import re
import threading
from collections import Counter, OrderedDict
from itertools import chain
from typing import Any
from urllib.parse import quote

_MARK = "[redacted]"
_SHORTEST, _SHORTEST_SEEN = 8, 16  # characters: what is shorter may be a word, and nobody must get to black out words
_LONGEST_SEEN = 8192  # characters: a longer one is a QR as a picture, which has its form
_REMEMBERED = 2000  # of what comes and goes with the callers; settings are never forgotten
_FORMS = re.compile(
    r"""
      eyJ[\w-]{8,}(?:\.[\w-]*){0,4}             # a JWT, or the beginning of one
    | \bkey_[\w-]{6,}                           # an API key of the platform
    | \bsb_(?:secret|publishable)_[\w-]+        # an API key of Supabase
    | (?i:\bbearer)\s+[^\s"',;]{8,}
    | \b[12]@[\w+/=,-]{20,}                     # a QR as pairing text
    | data:image/[\w.+-]+;base64,[\w+/=]+       # a QR as a picture
    | [\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64})+  # an e-mail address
    """,
    re.VERBOSE | re.ASCII,
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class Redaction:
    """What must not be shown, as far as it is known, and texts without it. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._settings: set[str] = set()
        self._seen: OrderedDict[str, set[str]] = OrderedDict()
        """What comes and goes, each with all its spellings."""
        self._beginnings: Counter[str] = Counter()
        """Of all spellings: how a text that holds none of them is told at once."""

    def conceal(self, value: str | None, *, for_ever: bool = False) -> None:
        """From now on `value` is in no text that `text` returns, in any of the spellings that texts have for it."""
        shortest, longest = (_SHORTEST, None) if for_ever else (_SHORTEST_SEEN, _LONGEST_SEEN)
        if not value or len(value) < shortest or (longest and len(value) > longest):
            return
        with self._lock:
            if not for_ever and value in self._seen:
                self._seen.move_to_end(value)
                return
            spellings = {value, quote(value, safe=""), json.dumps(value)[1:-1], repr(value)[1:-1]}
            if for_ever:
                spellings -= self._settings
                self._settings |= spellings
            else:
                self._seen[value] = spellings
            self._beginnings.update(spelling[:_SHORTEST] for spelling in spellings)
            if len(self._seen) > _REMEMBERED:
                for spelling in self._seen.popitem(last=False)[1]:
                    self._forget(spelling[:_SHORTEST])

    def _forget(self, beginning: str) -> None:
        self._beginnings[beginning] -= 1
        if not self._beginnings[beginning]:
            del self._beginnings[beginning]

    def text(self, text: str) -> str:
        if self._may_hold_one(text):
            with self._lock:
                spellings = chain(self._settings, *self._seen.values())
                known = [spelling for spelling in spellings if spelling in text]
            # The longest first: a short one may be a part of it, and would leave the rest standing.
            for spelling in sorted(known, key=len, reverse=True):
                text = text.replace(spelling, _MARK)
        return _FORMS.sub(_MARK, text)

    def _may_hold_one(self, text: str) -> bool:
        return any(text[at : at + _SHORTEST] in self._beginnings for at in range(len(text) - _SHORTEST + 1))

    def value(self, value: Any) -> Any:
        """The same for whatever goes into JSON; what JSON does not know becomes text."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(str(name)): self.value(item) for name, item in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self.value(item) for item in value]
        return value if value is None or isinstance(value, (bool, int, float)) else self.text(str(value))


REDACTION = Redaction()
"""The one of this process, as its loggers are of the process too."""


def masked(credential: str) -> str:
    """Enough of a credential to tell it from another, for whoever may know that much: `key_ab••••••wxyz`, or `***`."""
    return f"{credential[:6]}••••••{credential[-4:]}" if len(credential) >= 12 else "***"


def one_line(text: str) -> str:
    """Control characters and line breaks spelled out, so that a text can neither end a line nor steer a terminal."""
    return steady(text).replace("\n", "\\n").replace("\t", "\\t")


def steady(text: str) -> str:
    """The same, with line breaks and tabs left as they are."""
    return _CONTROL.sub(
        lambda match: repr(match[0])[1:-1] if ord(match[0]) < 0x100 else f"\\u{ord(match[0]):04x}", text
    )
