"""Reads a text from left to right, and says in PostgREST's words what was expected where."""

from __future__ import annotations

import re

from emulator.supabase.postgrest.errors import PostgrestError

_NAME = re.compile(r"[\w $]+(?:-(?!>)[\w $]+)*")
_QUOTED = re.compile(r'"((?:[^\\"]|\\.)*)"', re.DOTALL)
NAME_EXPECTED = "field name (* or [a..z0..9_$])"


class Scanner:
    """`what` and `shown` are for the message: `"failed to parse filter (foo.1)" (line 1, column 1)`."""

    def __init__(self, text: str, what: str, shown: str | None = None) -> None:
        self.text = text
        self.position = 0
        self._what = f"failed to parse {what} ({text if shown is None else shown})"

    @property
    def rest(self) -> str:
        return self.text[self.position :]

    @property
    def at_end(self) -> bool:
        return self.position == len(self.text)

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """What the pattern matches here, which is then read; None, and nothing is read, if it does not match."""
        match = pattern.match(self.text, self.position)
        if match:
            self.position = match.end()
        return match

    def skip(self, text: str) -> bool:
        found = self.text.startswith(text, self.position)
        self.position += len(text) if found else 0
        return found

    def require(self, text: str) -> None:
        if not self.skip(text):
            raise self.error(f'"{text}"')

    def require_end(self, expected: str) -> None:
        if not self.at_end:
            raise self.error(f"{expected} or end of input")

    def name(self) -> str:
        quoted = self.quoted()
        if quoted is not None:
            return quoted
        match = self.take(_NAME)
        if match is None:
            raise self.error(NAME_EXPECTED)
        return match[0].strip()

    def quoted(self) -> str | None:
        match = self.take(_QUOTED)
        return re.sub(r"\\(.)", r"\1", match[1], flags=re.DOTALL) if match else None

    def spaces(self) -> None:
        self.position += len(self.rest) - len(self.rest.lstrip(" \t"))

    def error(self, expected: str) -> PostgrestError:
        found = "end of input" if self.at_end else f'"{self.text[self.position]}"'
        return self.failure(f"unexpected {found} expecting {expected}")

    def failure(self, details: str) -> PostgrestError:
        message = f'"{self._what}" (line 1, column {self.position + 1})'
        return PostgrestError(400, "PGRST100", message, details)
