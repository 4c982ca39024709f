"""A secret setting: where its value comes from is its own business, and it never shows in a repr."""

from __future__ import annotations

from typing import Protocol

from wpp.redaction import REDACTION


class Secret(Protocol):
    def value(self) -> str:
        """The value as it is now. Raises WppError where it cannot be had."""
        ...

    def renew(self) -> bool:
        """After a refusal: whether there may now be another value than the refused one."""
        ...


class PlainSecret:
    """A secret that stands in the environment itself."""

    def __init__(self, value: str) -> None:
        self._value = value
        REDACTION.conceal(value, for_ever=True)

    def value(self) -> str:
        return self._value

    def renew(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "PlainSecret(***)"
