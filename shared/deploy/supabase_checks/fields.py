"""What in a row's `settings` the functions cannot read. No I/O here, and no value in any text: names and forms only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wpp.platform.client import is_session
from wpp.platform.token import is_header_text
from wpp.provisioning.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterator

_KINDS: dict[type, str] = {bool: "true or false", str: "text", int: "a number", float: "a number", list: "a list"}


def unreadable_fields(settings: Any) -> list[str]:
    """A short text for each field; empty if all that is there can be read. Null settings are empty ones."""
    if settings is None:
        return []
    if not isinstance(settings, dict):
        return [f"settings is {_KINDS.get(type(settings), 'something')}, not an object"]
    record = Record("", "", settings)
    return [*_credentials(settings), *_times(record), *_claims(record), *_others(settings)]


def _credentials(settings: dict[str, Any]) -> Iterator[str]:
    key, session = settings.get("wppApiKey"), settings.get("wppAccountNumber")
    if not _is_absent(key) and not is_header_text(key):
        yield "settings.wppApiKey is not text that a header can carry"
    if not _is_absent(session) and not is_session(session):
        yield "settings.wppAccountNumber is not a session's name"
    if _is_absent(key) and not _is_absent(session):
        yield "settings.wppAccountNumber is there without wppApiKey"
    if _is_absent(session) and not _is_absent(key):
        yield "settings.wppApiKey is there without wppAccountNumber"


def _times(record: Record) -> Iterator[str]:
    settings = record.settings
    is_token = not _is_absent(settings.get("wppJwtToken")) or not _is_absent(settings.get("wppJwtExpiresAt"))
    if is_token and record.token is None:
        yield "settings.wppJwtToken and wppJwtExpiresAt are not a token and its time in milliseconds since 1970"
    times = {"wppApiKeyIssuedAt": record.key_issued_at, "wppStartedAt": record.started_at}
    for name, time in times.items():
        if not _is_absent(settings.get(name)) and time is None:
            yield f"settings.{name} is not a time in milliseconds since 1970"


def _claims(record: Record) -> Iterator[str]:
    for name in ("wppClaim", "wppStart"):
        stored = record.settings.get(name)
        alone = Record("", "", {name: stored})
        if stored is not None and alone.claim is None and alone.failure is None:
            yield f"settings.{name} is neither a claim (an id with a beat or an expiry) nor a failed one"


def _others(settings: dict[str, Any]) -> Iterator[str]:
    identifier, pending = settings.get("wppSubOrgId"), settings.get("wppWebhookPending")
    if identifier is not None and not isinstance(identifier, str):
        yield "settings.wppSubOrgId is not text"
    if pending is not None and not isinstance(pending, bool):
        yield "settings.wppWebhookPending is not true or false"
    if not isinstance(settings.get("wppRequests", {}), dict):
        yield "settings.wppRequests is not an object"
    key = settings.get("wppIdempotencyKey")
    if not _is_absent(key) and not is_header_text(key):
        yield "settings.wppIdempotencyKey is not text that a header can carry"


def _is_absent(value: Any) -> bool:
    return value is None or value == ""
