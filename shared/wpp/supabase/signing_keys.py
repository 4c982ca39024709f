"""The public keys for the user tokens that Supabase signs, cached as long as its JWKS may be."""

from __future__ import annotations

import math
import threading
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Any, NamedTuple

from wpp.errors import KeysUnavailable, UpstreamError
from wpp.http.messages import Request
from wpp.http.upstream import malformed, refusal

if TYPE_CHECKING:
    from wpp.clock import Clock
    from wpp.http.upstream import Upstream

    Keys = dict[str, dict[str, Any]]

_LIFETIME = 600.0  # seconds; Supabase: cacheable for 10 minutes and no longer
_RELOAD_PAUSE = (
    4.0  # seconds between loads: made-up ids cost next to nothing, and a new key is accepted within 5 seconds
)
_LOAD_SECONDS = 5.0  # for all attempts of a load: while Supabase hangs, callers are told in time


class _Loaded(NamedTuple):
    """The outcome of the last load. A failed one keeps the keys of the load before, with their age."""

    keys: Keys
    keys_from: float = -math.inf
    ended: float = -math.inf
    problem: str | None = None


_NOTHING = _Loaded({})


class SigningKeys:
    """One per process. `find` loads the keys when needed; all callers who need them share one load."""

    def __init__(self, supabase_url: str, clock: Clock, *, may_be_missing: bool = False) -> None:
        """With `may_be_missing`, a 404 means that there are no keys: the project may sign with its shared secret only."""
        self._may_be_missing = may_be_missing
        self._url = f"{supabase_url}/auth/v1/.well-known/jwks.json"
        self._clock = clock
        self._lock = threading.Lock()  # held for a few assignments, never during a load
        self._loaded = _NOTHING
        self._loading: Future[None] | None = None

    @property
    def is_loading(self) -> bool:
        return self._loading is not None

    def find(self, key_id: str, upstream: Upstream) -> dict[str, Any] | None:
        """The JWK with this `kid`, or None if Supabase has no such key.

        Waits for a load that is under way, but not beyond the caller's own deadline. Raises KeysUnavailable, DeadlinePassed.
        """
        while True:
            with self._lock:
                loaded = self._loaded
                pause = loaded.ended + _RELOAD_PAUSE - self._clock.monotonic()
                key = self._fresh(loaded, key_id)
                if key is not None or pause > 0:
                    break
                is_ours = self._loading is None
                loading = self._loading = self._loading or Future()
            if is_ours:
                self._load(upstream, loading)
            else:
                wait([loading], upstream.deadline.cap(_LOAD_SECONDS, "waiting for the signing keys"))
        if key is None and loaded.problem is not None:
            raise KeysUnavailable(loaded.problem, pause)
        return key

    def forget(self) -> None:
        with self._lock:
            self._loaded = _NOTHING

    def _fresh(self, loaded: _Loaded, key_id: str) -> dict[str, Any] | None:
        is_fresh = self._clock.monotonic() - loaded.keys_from < _LIFETIME
        return loaded.keys.get(key_id) if is_fresh else None

    def _load(self, upstream: Upstream, loading: Future[None]) -> None:
        """Loads the keys, for all who wait for `loading`; an outcome that is due to this caller's deadline is not kept."""
        loaded = self._loaded
        try:
            keys = self._requested(upstream)
        except UpstreamError as error:
            loaded = loaded._replace(ended=self._clock.monotonic(), problem=str(error))
        else:
            now = self._clock.monotonic()
            loaded = _Loaded(keys, now, now)
        finally:
            with self._lock:
                self._loaded, self._loading = loaded, None
            loading.set_result(None)

    def _requested(self, upstream: Upstream) -> Keys:
        request = Request("supabase", "auth.jwks", "GET", self._url, repeatable=True, patience=_LOAD_SECONDS)
        response = upstream.send(request)
        if response.status == 404 and self._may_be_missing:
            return {}
        if response.status != 200:
            raise refusal("supabase", "auth.jwks", response)
        keys = response.json.get("keys") if isinstance(response.json, dict) else None
        if not isinstance(keys, list):
            raise malformed("supabase", "auth.jwks", "a list of keys", response)
        return {k["kid"]: k for k in keys if isinstance(k, dict) and isinstance(k.get("kid"), str)}
