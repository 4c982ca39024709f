"""A secret of the configuration: where its value comes from is its own business, and it never shows in a repr."""

from __future__ import annotations

from typing import Protocol


class Secret(Protocol):
    def value(self) -> str:
        """The value as it is now. Raises WppError if it cannot be had."""
        ...

    def known_value(self) -> str | None:
        """The value if it is at hand: fetches nothing, waits for nothing, logs nothing. For the redaction of logs."""
        ...

    def renewed(self, refused: str) -> bool:
        """After a refusal of the value `refused`: whether there is another one by now. A failed look counts as no."""
        ...

    def forget(self) -> None:
        """Has a value that is kept fetched anew when it is needed next."""
        ...


class PlainSecret:
    """A secret that stands in the environment itself."""

    def __init__(self, value: str) -> None:
        self._value = value

    def value(self) -> str:
        return self._value

    def known_value(self) -> str | None:
        return self._value

    def renewed(self, refused: str) -> bool:  # noqa: ARG002
        return False

    def forget(self) -> None:
        """It stands in the environment: there is nothing to fetch."""

    def __repr__(self) -> str:
        return "PlainSecret(***)"
