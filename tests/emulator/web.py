"""What both emulated servers are made of: a request, a response, and a threaded server that can misbehave on demand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    """Decoded path without the query."""
    query: str
    """The raw query string, still percent-encoded."""
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


@dataclass(frozen=True)
class Response:
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Application(Protocol):
    """State plus routes of one emulated system."""

    def route(self, request: Request) -> tuple[str, Callable[[], Response]]:
        """The name of the call (faults and recordings go by it) and what carries it out, not yet run."""
        ...
