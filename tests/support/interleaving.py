"""Invocations whose every exchange with the outside waits for a word of the test: any interleaving, loss or death can be played.

Each actor runs the real provisioning code on a thread of its own, an exchange at a time, on the emulated systems' own state.
Time is the world's: it moves only when the test moves it, and each actor's wall clock differs by a skew of its own.
"""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import unquote, urlsplit

from emulator.clock import Clock as EmulatedClock
from emulator.messages import Request
from wpp.clock import Clock
from wpp.config import settings_from
from wpp.errors import WppError
from wpp.http.messages import Response, TransportFailed
from wpp.http.transport import Transport
from wpp.provisioning.claim import primary_number
from wpp.provisioning.creation import Creation
from wpp.provisioning.service import running
from wpp.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from emulator.platform.responses import PlatformApp
    from emulator.supabase.app import SupabaseApp
    from emulator.web import Application

T = TypeVar("T")
Outcome = Literal["answer", "lose the request", "lose the answer", "die"]
_PATIENCE = 20.0  # real seconds; an actor that takes longer hangs


class Killed(BaseException):
    """SIGKILL: no handler for failures runs."""


class World(EmulatedClock):
    """Virtual time: every look at it is a little later than the one before, as in a real world."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 1_800_000_000.0

    def now(self) -> float:
        with self._lock:
            self._now += 0.000_011
            return self._now

    def advance(self, seconds: float) -> None:
        with self._lock:
            self._now += seconds


class _Gated(Transport):
    def __init__(self, actor: Actor) -> None:
        self._actor = actor

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout: float) -> Response:
        return self._actor.exchange(method, url, headers, body)

    def start_thread(self, run: Callable[[], None]) -> None:
        run()  # there is only the actor's own thread

    def close(self) -> None:
        pass


class Actor:
    """One invocation, going on only when it is told to."""

    def __init__(
        self, world: World, supabase: SupabaseApp, platform: PlatformApp, organization_id: str, skew: float
    ) -> None:
        self.suspended = 0.0
        """Seconds of the world that this actor's monotonic clock did not see, as while its machine slept."""
        self.done = False
        self.error: WppError | None = None
        self.session: str | None = None
        self._apps: dict[str, Application] = {"supabase": supabase, "platform": platform}
        self._arrived: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._told: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        env = {
            "SUPABASE_URL": "http://supabase",
            "SUPABASE_SERVICE_ROLE_KEY": supabase.service_role_key,
            "WPP_SECRET": platform.wpp_secret,
            "WPP_BASE_URL": "http://platform",
        }
        clock = Clock(
            now=lambda: world.now() + skew, monotonic=lambda: world.now() - self.suspended, sleep=world.advance
        )
        self._runtime = Runtime(settings_from(env), clock, _Gated(self))
        self._organization_id = organization_id
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._settle()

    def go_on(self, outcome: Outcome) -> None:
        """Lets the exchange that it waits for happen, and waits until it wants the next or has ended."""
        self._told.put(outcome)
        self._settle()

    def exchange(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Response:
        self._arrived.put(False)
        outcome = self._told.get()
        if outcome == "die":
            raise Killed
        if outcome == "lose the request":
            raise TransportFailed("broke the connection")
        parts = urlsplit(url)
        names = {name.lower(): value for name, value in headers.items()}
        request = Request(method, unquote(parts.path), parts.query, names, body or b"")
        response = self._apps[parts.hostname or ""].route(request)[1]()
        if outcome == "lose the answer":
            raise TransportFailed("broke the connection", timed_out=True)
        return Response(response.status, {}, response.body)

    def _settle(self) -> None:
        self.done = self._arrived.get(timeout=_PATIENCE)
        if self.done:
            self._thread.join(_PATIENCE)

    def _run(self) -> None:
        try:
            self.session = self._connect()
        except WppError as error:
            self.error = error
        except Killed:
            pass
        finally:
            self._arrived.put(True)

    def _connect(self) -> str:
        invocation = self._runtime.begin("wpp-create", "request")
        number = primary_number(self._organization_id)
        made = Creation(invocation, number).obtain(number.find(invocation.rows.of_organization(self._organization_id)))
        session, _ = running(invocation, number, made, None)
        return session.client.credentials.session


def settings_of(supabase: SupabaseApp, organization_id: str) -> list[dict[str, Any]]:
    return [row["settings"] for row in supabase.rows(organization_id)]
