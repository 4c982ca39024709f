"""Takes credentials out of texts that are about to be logged. Pure: it knows what it is given, and remembers nothing.

Nothing here excuses logging a credential. It is for the exception text, the field and the mistake that nobody thought of.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_TEXT = 8192
"""Characters of one text that are searched for credentials, and shown."""
_MARK = "[redacted]"
_CUT = " [cut]"
_SHORTEST = 8  # characters: a shorter secret may be part of ordinary words, and would black them out
# Linear in time: nothing that was taken is given back (`++`), and no run of characters is entered again from its middle.
# White space stands in none of them but between `bearer` and its token: `_shortened` relies on it.
_FORMS = re.compile(
    r"""
      eyJ[\w-]{8,}+(?:\.[\w-]*+){0,4}+            # a JWT, or the beginning of one
    | \bkey_[\w-]{6,}+                            # an API key of the platform
    | \bsb_(?:secret|publishable)_[\w-]++         # an API key of Supabase
    | (?i:\bbearer)\s++[^\s"',;]{8,}+
    | \b[12]@[\w+/=,-]{20,}+                      # a QR as pairing text
    | data:image/[^\s"']++                        # a QR as a picture
    | (?<![\w.+-])[\w.+-]++@[\w-]++(?:\.[\w-]++)++  # an e-mail address
    """,
    re.VERBOSE | re.ASCII,
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class Redaction:
    """Texts without the given secrets, in any of the spellings that texts have for them, and without the forms of credentials."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        spellings = {spelling for secret in secrets if len(secret) >= _SHORTEST for spelling in _spellings(secret)}
        # The longest first: a short one may be a part of it, and would leave the rest standing.
        self._spellings = sorted(spellings, key=len, reverse=True)

    def text(self, text: str) -> str:
        """At most MAX_TEXT characters of it, and a mark for every credential."""
        for spelling in self._spellings:
            text = text.replace(spelling, _MARK)
        return _FORMS.sub(_MARK, text if len(text) <= MAX_TEXT else _shortened(text))

    def value(self, value: Any) -> Any:
        """The same for whatever goes into JSON; what JSON does not know becomes text."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(str(name)): self.value(item) for name, item in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self.value(item) for item in value]
        return value if value is None or isinstance(value, (bool, int, float)) else self.text(str(value))


def _spellings(secret: str) -> set[str]:
    return {secret, quote(secret, safe=""), json.dumps(secret)[1:-1], repr(secret)[1:-1]}


def _shortened(text: str) -> str:
    """Cut between two words: half a credential would no longer have its form."""
    return text[:MAX_TEXT].rpartition(" ")[0] + _CUT


def masked(credential: str) -> str:
    """Enough of a credential to tell it from another, for whoever may know that much: `key_ab••••••wxyz`, or `***`."""
    return f"{credential[:6]}••••••{credential[-4:]}" if len(credential) >= 12 else "***"


def one_line(text: str) -> str:
    """Control characters and line breaks spelled out, so that a text can neither end a line nor steer a terminal."""
    return _CONTROL.sub(
        lambda match: repr(match[0])[1:-1] if ord(match[0]) < 0x100 else f"\\u{ord(match[0]):04x}", text
    )
