"""A secret of the configuration. It knows where its value comes from, and never shows it in its repr."""

from __future__ import annotations

from typing import Protocol


class Secret(Protocol):
    def value(self) -> str:
        """The current value. Raises WppError if it cannot be read."""
        ...

    def known_value(self) -> str | None:
        """The value if it is known already: fetches nothing, waits for nothing, logs nothing. For the redaction of logs."""
        ...

    def renewed(self, refused: str) -> bool:
        """Whether there is another value by now, after `refused` was refused. False if that cannot be found out."""
        ...

    def forget(self) -> None:
        """Drops a cached value, so that it is fetched again when it is needed."""
        ...


class PlainSecret:
    """A secret whose value is in the environment itself."""

    def __init__(self, value: str) -> None:
        self._value = value

    def value(self) -> str:
        return self._value

    def known_value(self) -> str | None:
        return self._value

    def renewed(self, refused: str) -> bool:  # noqa: ARG002
        return False

    def forget(self) -> None:
        """Nothing is cached: the value comes from the environment."""

    def __repr__(self) -> str:
        return "PlainSecret(***)"
