"""The public keys for the user tokens that Supabase signs, cached as long as its JWKS may be."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from wpp.http.messages import Request
from wpp.http.upstream import malformed, refusal

if TYPE_CHECKING:
    from wpp.clock import Clock
    from wpp.http.upstream import Upstream

_LIFETIME = 600.0  # seconds; Supabase: cacheable for 10 minutes and no longer
_RELOAD_PAUSE = 60.0  # seconds between loads for unknown ids, so that made-up ids cost no network


class SigningKeys:
    """One per process. `find` loads the keys when needed; concurrent callers share one load."""

    def __init__(self, supabase_url: str, clock: Clock) -> None:
        self._url = f"{supabase_url}/auth/v1/.well-known/jwks.json"
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: dict[str, dict[str, Any]] = {}
        self._loaded_at: float | None = None

    def find(self, key_id: str, upstream: Upstream) -> dict[str, Any] | None:
        """The JWK with this `kid`, or None if Supabase has no such key. Raises UpstreamError, DeadlinePassed."""
        key = self._fresh(key_id)
        if key is not None:
            return key
        with self._lock:
            key = self._fresh(key_id)
            if key is None and self._may_load():
                self._keys = self._load(upstream)
                self._loaded_at = self._clock.monotonic()
                key = self._keys.get(key_id)
            return key

    def forget(self) -> None:
        self._loaded_at = None

    def _fresh(self, key_id: str) -> dict[str, Any] | None:
        return self._keys.get(key_id) if self._age() < _LIFETIME else None

    def _may_load(self) -> bool:
        return self._age() >= _RELOAD_PAUSE

    def _age(self) -> float:
        return float("inf") if self._loaded_at is None else self._clock.monotonic() - self._loaded_at

    def _load(self, upstream: Upstream) -> dict[str, dict[str, Any]]:
        response = upstream.send(Request("supabase", "auth.jwks", "GET", self._url, repeatable=True))
        if response.status != 200:
            raise refusal("supabase", "auth.jwks", response)
        keys = response.json.get("keys") if isinstance(response.json, dict) else None
        if not isinstance(keys, list):
            raise malformed("supabase", "auth.jwks", "a list of keys", response)
        return {k["kid"]: k for k in keys if isinstance(k, dict) and isinstance(k.get("kid"), str)}
