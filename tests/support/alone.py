"""One call of the core by itself: what it sends, waits for, counts and logs, without sockets and in no time.

The emulated systems answer from their own state, unless the test says what comes in the place of an answer.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections import deque
from contextlib import contextmanager
from copy import copy
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

import pytest

from emulator.clock import Clock as EmulatedClock
from emulator.messages import Request
from emulator.platform.responses import PlatformApp
from emulator.supabase.database import timestamp
from wpp.clock import Clock, Deadline, Ticker
from wpp.config import config_from
from wpp.errors import WppError
from wpp.http.messages import Response, TransportFailed
from wpp.http.transport import Transport
from wpp.http.upstream import Upstream
from wpp.provisioning.client import stored_client
from wpp.provisioning.creation import Creation
from wpp.provisioning.number import primary_number
from wpp.provisioning.recovery import running_session
from wpp.runtime import Invocation, Runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from emulator.platform.sessions import Session as EmulatedSession
    from emulator.supabase.app import SupabaseApp
    from emulator.web import Application
    from wpp.clock import Tick
    from wpp.platform.state import SessionState
    from wpp.provisioning.client import Client
    from wpp.provisioning.idempotency import KeyedRequest
    from wpp.provisioning.session import Session
    from wpp.supabase.rows import Integration

WEBHOOK_HASH = "8f14c6c91e859f57"
"""Of the default address."""
Outcome = Any
"""How a call is met: with a response, an error to raise, or something to do before the real response; with None by that alone."""
BEGIN = 1_800_000_000
"""Seconds since 1970."""
GET, POST, PATCH = (f"rest.{method}.messenger_integrations" for method in ("GET", "POST", "PATCH"))
LOST_AFTERWARDS = TransportFailed("broke the connection")
"""Once the call was carried out."""
LOST = TransportFailed("broke the connection")
TIMED_OUT = TransportFailed("did not answer in time", timed_out=True)


class Sent(NamedTuple):
    call: str
    payload: Any
    timeout: float
    """Seconds."""
    headers: Mapping[str, str]


class Connected(NamedTuple):
    invocation: Invocation
    session: Session
    state: SessionState


def answer(status: int, body: Any = None, **headers: str) -> Response:
    return Response(
        status, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(body).encode()
    )


def started(row: Integration, **more: Any) -> dict[str, Any]:
    """The settings of a row after a start two minutes later."""
    return {**row.settings, "wppStartedAt": (BEGIN + 120) * 1000, **more}


LOOK = ["qr", "status"]
UNKNOWN = answer(404, {"error": "Session not found"})
REFUSED_KEY = answer(401, {"error": "Invalid API key"})
FORBIDDEN = answer(
    409, {"code": "23505", "message": 'duplicate key value violates unique constraint "one_active_number"'}
)


class Alone(Transport):
    """An organization, and the two systems as this process reaches them. Time passes by waiting, and where the test says so."""

    def __init__(self, supabase: SupabaseApp, **environment: str) -> None:
        self.supabase = supabase
        self.organization_id = str(uuid.uuid4())
        email = f"{self.organization_id}@example.com"
        self.user_id = supabase.add_user(email, organization_id=self.organization_id)
        self.token = supabase.sign_in(email)
        self.passed = 0.0
        self.platform = PlatformApp(_Emulated(self))
        self.platform.settings.qr_delay = 0
        self.sent: list[Sent] = []
        self.waits: list[float] = []
        self.logged: list[tuple[str, str, dict[str, Any]]] = []
        self.ticks: list[tuple[float, Tick]] = []
        self.has_threads = False
        self._writes = 0
        self._instead: dict[str, deque[Any]] = {}
        self._took: dict[str, float] = {}
        clock = Clock(lambda: BEGIN + self.passed, lambda: 5000 + self.passed, self._wait)
        self.clock = clock
        given = {
            "SUPABASE_URL": "http://supabase",
            "SUPABASE_SERVICE_ROLE_KEY": supabase.service_role_key,
            "WPP_SECRET": self.platform.wpp_secret,
            "WPP_BASE_URL": "http://platform",
        }
        self.runtime = Runtime(config_from({**given, **environment}), clock, self, self._start_ticker)

    # What a test sets up

    def instead(self, call: str, *outcomes: Outcome) -> None:
        """Of the next calls with this name."""
        self._instead.setdefault(call, deque()).extend(outcomes)

    def takes(self, call: str, seconds: float) -> None:
        """Each call with this name, from now on."""
        self._took[call] = seconds

    def insert(self, **columns: Any) -> Integration:
        inserted = self.supabase.insert_row(organization_id=self.organization_id, **columns)
        found = self.begin().rows.by_id(inserted["id"])
        assert found
        self.sent.clear()
        return found

    def write(self, **settings: Any) -> None:
        """Into the only row, as other code does; a setting that becomes None is removed."""
        row = self.row()
        changed = {name: value for name, value in {**row["settings"], **settings}.items() if value is not None}
        self._writes += 1
        written_at = timestamp(self.clock.now() + self._writes / 1000)
        statement = "update messenger_integrations set settings = %s, updated_at = %s where id = %s"
        self.supabase.execute(statement, json.dumps(changed), written_at, row["id"])

    def connected_before(self, **settings: Any) -> Integration:
        """The row of a client that was created two minutes ago, and that needs nothing; with these settings beside."""
        client = self.obtain()
        token = self.runtime.memory.tokens.get(client.platform.credentials.api_key)
        assert client.claim
        assert token
        client.claim.release(change=lambda record: record.with_token(token).with_webhook(WEBHOOK_HASH))
        self.write(**settings)
        self.passed += 120
        self.sent.clear()
        return self.stored()

    # What is done

    def begin(self, seconds: float = 28.0) -> Invocation:
        """Whose jitter is always as long as it can be."""
        deadline = Deadline(seconds, self.clock)
        upstream = Upstream(self, deadline, self.clock, "request-1", uniform=lambda _, longest: longest)
        invocation = Invocation(self.runtime, upstream, "wpp-create", "request-1")
        invocation.user_id = self.user_id
        return invocation

    def obtain(self, row: Integration | None = None, seconds: float = 28.0, **how: Any) -> Client:
        """The client of the primary number; `how` it is got is for `Creation`."""
        invocation = self.begin(seconds)
        invocation.organization_id = self.organization_id
        return Creation(invocation, primary_number(self.organization_id), **how).obtain(row)

    def connect(
        self, row: Integration | None = None, seconds: float = 28.0, keyed: KeyedRequest | None = None
    ) -> Connected:
        """The session of a client whose row is there, or of a new one."""
        invocation = self.begin(seconds)
        number = primary_number(self.organization_id)
        client = stored_client(invocation, row) if row else Creation(invocation, number, keyed).obtain(None)
        return Connected(invocation, *running_session(invocation, number, client, keyed))

    # What it tells

    def fields(self, **own: Any) -> dict[str, Any]:
        """Of a log line of `obtain`."""
        whose = {"function": "wpp-create", "request_id": "request-1", "organization": self.organization_id}
        return {**whose, **own}

    def calls(self) -> list[str]:
        """Since the last time."""
        names = [sent.call for sent in self.sent]
        self.sent.clear()
        return names

    def outcome(self, work: Callable[[], object]) -> str:
        """The error that it ends with."""
        with self.logging(), pytest.raises(WppError) as caught:
            work()
        return f"{type(caught.value).__name__}: {caught.value}"

    def row(self) -> dict[str, Any]:
        (row,) = self.supabase.rows(self.organization_id)
        return row

    def settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = self.row()["settings"]
        return settings

    def stored(self) -> Integration:
        """The row as it is now, read unseen."""
        count = len(self.sent)
        found = self.begin().rows.of_organization(self.organization_id)[0]
        del self.sent[count:]
        return found

    def newest(self) -> dict[str, Any]:
        """What the settings say of the client that was created last."""
        created = self.platform.clients_of(self.organization_id)[-1]
        return {"wppApiKey": created.api_key, "wppAccountNumber": created.session}

    def session(self) -> EmulatedSession:
        return self.platform.sessions[self.settings()["wppAccountNumber"]]

    @contextmanager
    def logging(self) -> Iterator[None]:
        """`logged` gets level, text and fields of each line."""
        handler = logging.Handler()
        handler.emit = lambda record: self.logged.append(  # type: ignore[method-assign]
            (record.levelname, record.getMessage(), vars(record).get("wpp", {}))
        )
        log = logging.getLogger("wpp")
        level = log.level
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        try:
            yield
        finally:
            log.removeHandler(handler)
            log.setLevel(level)

    # What the core is given

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout: float) -> Response:
        parts = urlsplit(url)
        names = {name.lower(): value for name, value in headers.items()}
        request = Request(method, unquote(parts.path), parts.query, names, body or b"")
        app: Application = self.supabase if parts.hostname == "supabase" else self.platform
        call, respond = app.route(request)
        self.sent.append(Sent(call, request.json() if body else None, timeout, names))
        self.passed += self._took.get(call, 0.0)
        waiting = self._instead.get(call)
        outcome = waiting.popleft() if waiting else None
        if isinstance(outcome, Exception):
            if outcome is LOST_AFTERWARDS:
                respond()
            raise copy(outcome)  # the same one would keep the frames of all that raised it
        if isinstance(outcome, Response):
            return outcome
        if outcome is not None:
            outcome()
        response = respond()
        return Response(response.status, {}, response.body)

    def start_thread(self, run: Callable[[], None]) -> None:
        """What runs alongside runs at once, unless the test is about waiting for it."""
        if self.has_threads:
            super().start_thread(run)
        else:
            run()

    def close(self) -> None:
        pass

    def _wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.passed += seconds

    def _start_ticker(self, first: float, tick: Tick) -> Ticker:
        self.ticks.append((first, tick))
        return _Still(3600.0, lambda: None)


class _Still(Ticker):
    """Ticks only when the test says so."""

    def __init__(self, first: float, tick: Tick) -> None:
        pass

    def stop(self) -> None:
        pass


class _Emulated(EmulatedClock):
    def __init__(self, alone: Alone) -> None:
        super().__init__()
        self._alone = alone

    def now(self) -> float:
        return BEGIN + self._alone.passed
