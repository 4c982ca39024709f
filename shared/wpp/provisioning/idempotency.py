"""The `Idempotency-Key` of a request, and how a repeated request is recognized. No I/O here."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from wpp.errors import BadRequest, IdempotencyKeyReused
from wpp.provisioning.record import record_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from wpp.provisioning.options import Options, Target
    from wpp.provisioning.record import Record
    from wpp.supabase.rows import Integration

_MAX_KEY = 255  # characters
_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"')  # a string of RFC 8941
_REMEMBERED = 50  # keys that a row remembers, the newest ones


def idempotency_key_from(header: str | None) -> str | None:
    """The key of an `Idempotency-Key` header, bare or as a quoted structured-field string. Raises BadRequest."""
    if header is None:
        return None
    key = header.strip()
    quoted = _QUOTED.fullmatch(key)
    if quoted:
        key = re.sub(r"\\(.)", r"\1", quoted[1])
    if (
        (key.startswith('"') and not quoted)
        or not 1 <= len(key) <= _MAX_KEY
        or not (key.isascii() and key.isprintable())
    ):
        raise BadRequest(f"Idempotency-Key must be 1 to {_MAX_KEY} printable ASCII characters, bare or quoted")
    return key


class KeyedRequest(NamedTuple):
    """A request with an idempotency key, scoped to organization and function. Only its fingerprint is ever stored."""

    fingerprint: str
    options: str

    def is_repeated(self, rows: Iterable[Integration]) -> bool:
        """Whether it was carried out before. Raises IdempotencyKeyReused if that was with other options."""
        before = {self._options_in(record_of(row).settings) for row in rows} - {None}
        if before - {self.options}:
            raise IdempotencyKeyReused(
                "This Idempotency-Key was used with other options, or for another number, before; use a new one"
            )
        return bool(before)

    def recorded(self, record: Record, now: float) -> Record:
        """A record that remembers the request as carried out; the oldest requests are forgotten. `now` in seconds since 1970."""
        known = record.settings.get("wppRequests")
        known = dict(known) if isinstance(known, dict) else {}
        if self.fingerprint in known:
            return record
        known[self.fingerprint] = {"options": self.options, "at": int(now * 1000)}
        newest = sorted(known.items(), key=lambda item: _time_of(item[1]), reverse=True)[:_REMEMBERED]
        return record.with_requests(dict(newest))

    def _options_in(self, settings: Mapping[str, Any]) -> str | None:
        known = settings.get("wppRequests")
        entry = known.get(self.fingerprint) if isinstance(known, dict) else None
        return str(entry.get("options")) if isinstance(entry, dict) else None


def keyed_request(
    organization_id: str, function: str, key: str | None, options: Options, target: Target
) -> KeyedRequest | None:
    if key is None:
        return None
    asked_for = f"{options.name} {target.integration_id}" if target.integration_id else options.name
    # Parts joined by a character that none of them has: no two scopes can give the same text.
    text = f"{organization_id}\n{function}\n{key}"
    return KeyedRequest(hashlib.sha256(text.encode()).hexdigest()[:32], asked_for)


def _time_of(entry: Any) -> float:
    at = entry.get("at") if isinstance(entry, dict) else None
    return float(at) if isinstance(at, (int, float)) and abs(at) < 2**53 else 0.0
