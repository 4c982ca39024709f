"""`make check-platform`: what the functions need of a WPP Platform, tried on a real one, with a plain report of what holds.

WPP_BASE_URL and WPP_SECRET name it. It makes one client for an organization id of its own, and stops its session in the end.
"""

from __future__ import annotations

import os
import sys
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wpp.cache import Recent
from wpp.clock import Clock, Deadline
from wpp.config import config_from
from wpp.errors import KeyRefused, NotConfigured, UpstreamRefused, WppError
from wpp.http.transport import Transport
from wpp.http.upstream import Upstream
from wpp.platform.client import Credentials, WppClient, create_client
from wpp.platform.state import State
from wpp.platform.token import TokenSource
from wpp.secret import PlainSecret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from wpp.secret import Secret

_LIMIT = 120.0  # seconds for the whole check
_QR_WAIT = 25.0  # seconds; a QR is seen after 1 to 20
_STOP_WAIT = 10.0


class _DoesNotHoldError(Exception):
    pass


@dataclass
class Platform:
    """The platform under test, and the one client that the check makes there."""

    base_url: str
    secret: Secret
    upstream: Upstream
    organization_id: str
    idempotency_key: str
    credentials: Credentials | None = None

    def create(self, *, secret: str | None = None, idempotency_key: str | None = None) -> Credentials:
        return create_client(
            self.base_url,
            PlainSecret(secret) if secret else self.secret,
            self.organization_id,
            upstream=self.upstream,
            idempotency_key=idempotency_key or self.idempotency_key,
        )

    def client(self, api_key: str | None = None) -> WppClient:
        if self.credentials is None:
            raise _DoesNotHoldError("there is no client to try it with")
        credentials = Credentials(api_key or self.credentials.api_key, self.credentials.session)
        tokens = TokenSource(self.base_url, credentials.api_key, self.upstream, Recent())
        return WppClient(self.base_url, credentials, self.upstream, tokens)


def _create(platform: Platform) -> str:
    platform.credentials = platform.create()
    return "apiKey and session came"


def _wrong_secret(platform: Platform) -> str:
    return _refused(lambda: platform.create(secret="not-the-secret-" + uuid.uuid4().hex), UpstreamRefused)


def _same_key(platform: Platform) -> str:
    if platform.create() != platform.credentials:
        raise _DoesNotHoldError("another client came: a lost answer leaves an unused client there")
    return "the same client came"


def _same_organization(platform: Platform) -> str:
    if platform.create(idempotency_key=str(uuid.uuid4())) != platform.credentials:
        raise _DoesNotHoldError("another client came: only the Idempotency-Key protects from doubles")
    return "the same client came"


def _token(platform: Platform) -> str:
    give_up = time.monotonic() + 10
    while True:
        try:
            platform.client().tokens.value()
        except KeyRefused:
            if time.monotonic() > give_up:
                raise _DoesNotHoldError("the fresh key was refused for 10 s") from None
            time.sleep(0.3)
        else:
            return "a token came"


def _wrong_key(platform: Platform) -> str:
    return _refused(platform.client("key_" + uuid.uuid4().hex).tokens.value, KeyRefused)


def _lifetime(platform: Platform) -> str:
    tokens = platform.client().tokens
    tokens.value()
    assert tokens.current is not None  # noqa: S101 - it was just fetched
    seconds = tokens.current.expires_at - time.time()
    if seconds < 60:
        raise _DoesNotHoldError(f"a token lasts {seconds:.0f} s, less than a minute")
    return f"a token lasts {seconds:.0f} s"


def _status(platform: Platform) -> str:
    said = platform.client().status()
    if said.warning:
        raise _DoesNotHoldError(said.warning)
    return f"the state is {said.state.value}"


def _start(platform: Platform) -> str:
    client = platform.client()
    if client.status().state is not State.ENDED:
        client.stop()
    return f"started, the state is {client.start().state.value}"


def _webhook(platform: Platform) -> str:
    platform.client().webhook("https://example.com/wpp-webhook")
    return "registered"


def _qr(platform: Platform) -> str:
    client, began = platform.client(), time.monotonic()
    while client.qr() is None:
        if time.monotonic() - began > _QR_WAIT:
            raise _DoesNotHoldError(f"no QR within {_QR_WAIT:.0f} s")
        time.sleep(0.3)
    return f"a QR came after {time.monotonic() - began:.1f} s"


def _stop(platform: Platform) -> str:
    client, give_up = platform.client(), time.monotonic() + _STOP_WAIT
    client.stop()
    while client.status().state is not State.ENDED:
        if time.monotonic() > give_up:
            raise _DoesNotHoldError(f"the session is not offline {_STOP_WAIT:.0f} s after it was stopped")
        time.sleep(0.3)
    return "stopped and offline"


CHECKS: dict[str, Callable[[Platform], str]] = {
    "create makes a client": _create,
    "a wrong secret is refused": _wrong_secret,
    "the same Idempotency-Key is the same client": _same_key,
    "one organization is one client": _same_organization,
    "the key gets a token": _token,
    "a wrong key is refused": _wrong_key,
    "a token lasts": _lifetime,
    "the status can be read": _status,
    "an offline session starts": _start,
    "the webhook is registered": _webhook,
    "there is a QR": _qr,
    "stop logs out": _stop,
}


def check(env: Mapping[str, str]) -> dict[str, tuple[bool, str]]:
    """For each requirement whether it holds, and what was seen. Raises NotConfigured, as the functions would."""
    given = {name: env[name] for name in ("WPP_BASE_URL", "WPP_SECRET") if env.get(name, "").strip()}
    # The rest of the functions' configuration is not needed here: Supabase is not called.
    config = config_from({**given, "SUPABASE_URL": "http://localhost", "SUPABASE_SERVICE_ROLE_KEY": "not-used"})
    clock, transport = Clock(), Transport()
    upstream = Upstream(transport, Deadline(_LIMIT, clock), clock, "check-platform")
    ids = str(uuid.uuid4()), str(uuid.uuid4())
    platform = Platform(config.wpp_base_url, config.wpp_secret, upstream, *ids)
    report: dict[str, tuple[bool, str]] = {}
    try:
        for name, attempt in CHECKS.items():
            try:
                report[name] = True, attempt(platform)
            except (_DoesNotHoldError, WppError) as problem:
                report[name] = False, str(problem)
    finally:
        transport.close()
    return report


def _refused(attempt: Callable[[], object], expected: type[UpstreamRefused]) -> str:
    try:
        attempt()
    except expected as error:
        if error.upstream_status not in (401, 403):
            raise _DoesNotHoldError(f"status {error.upstream_status} came, not 401 or 403") from error
        return f"refused with {error.upstream_status}"
    raise _DoesNotHoldError("it was accepted")


def main() -> int:
    missing = [name for name in ("WPP_BASE_URL", "WPP_SECRET") if not os.environ.get(name, "").strip()]
    if missing:
        print(f"error: set {' and '.join(missing)} to the platform to check", file=sys.stderr)
        return 2
    try:
        report = check(os.environ)
    except NotConfigured as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for name, (holds, seen) in report.items():
        print(f"{'holds' if holds else 'FAILS'}  {name}: {seen}")
    by_organization = report["one organization is one client"][0]
    by_key = report["the same Idempotency-Key is the same client"][0]
    if report["create makes a client"][0] and not (by_organization or by_key):
        print("\nThis platform doubles clients: a lost answer to `create` can leave an unused client there.")
    return 0 if all(holds for holds, _ in report.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
