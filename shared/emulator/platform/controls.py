"""What a person or WhatsApp does to a session, by the name under which tests, scripts and the page ask for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.platform.models import Platform

ACTS: dict[str, Callable[[Platform, dict[str, Any]], None]] = {
    "scan": lambda platform, body: platform.scan(body["session"]),
    "disconnect": lambda platform, body: platform.disconnect(body["session"]),
    "report": lambda platform, body: platform.report(body["session"], body.get("word"), body.get("seconds")),
    "stick": lambda platform, body: platform.stick(body["session"], body.get("restarts", 1)),
    "lose": lambda platform, body: platform.lose(body["session"]),
    "refuse-key": lambda platform, body: platform.refuse_key(body["session"], body.get("times", 1)),
    "invalidate-key": lambda platform, body: platform.invalidate_key(body["session"]),
    "revoke-tokens": lambda platform, body: platform.revoke_tokens(body["session"]),
}
"""Each takes `{"session": …}` and what else its method takes; an unknown session is a KeyError."""
