"""A secret setting: where its value comes from is its own business, and it never shows in a repr."""

from __future__ import annotations

from typing import Protocol

from wpp.redaction import REDACTION


class Secret(Protocol):
    def value(self) -> str:
        """The value as it is now. Raises WppError where it cannot be had."""
        ...

    def renewed(self, refused: str) -> bool:
        """After a refusal of the value `refused`: whether there is another one by now. Never raises."""
        ...

    def forget(self) -> None:
        """Has a value that is kept fetched anew when it is needed next."""
        ...


class PlainSecret:
    """A secret that stands in the environment itself."""

    def __init__(self, value: str) -> None:
        self._value = value
        REDACTION.conceal(value, for_ever=True)

    def value(self) -> str:
        return self._value

    def renewed(self, refused: str) -> bool:  # noqa: ARG002
        return False

    def forget(self) -> None:
        """It stands in the environment: there is nothing to fetch."""

    def __repr__(self) -> str:
        return "PlainSecret(***)"
