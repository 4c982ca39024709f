"""What comes of one exchange with an upstream. Apart from what carries it out, so that a preflight or a health check, which
sends nothing, loads neither `requests` nor urllib3: more than half of what a cold start of theirs takes."""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class ExchangeFailed(Exception):  # it becomes an UpstreamError one level up
    """No usable answer came. `sent` is False only where the request certainly never reached the other side."""

    def __init__(self, problem: str, *, timed_out: bool = False, sent: bool = True) -> None:
        super().__init__(problem)
        self.timed_out = timed_out
        self.sent = sent


class Reply:
    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        """Names in lower case."""
        self.body = body

    @cached_property
    def json(self) -> Any:
        """The decoded body, or None where it is no JSON: no answer that we use is a bare null."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None
