"""Invocations whose every request to the outside waits for the test: any interleaving, loss or death can be played.

Each actor runs the real provisioning code on a thread of its own, a request at a time, on the emulated systems' own state.
Time is the world's: it moves only when the test moves it, and each actor's wall clock differs by a skew of its own.
"""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote, urlsplit

from emulator.clock import Clock as EmulatedClock
from emulator.messages import Request
from wpp.clock import Clock
from wpp.config import config_from
from wpp.errors import WppError
from wpp.http.messages import Response, TransportFailed
from wpp.http.transport import Transport
from wpp.provisioning.claim import BEAT_SECONDS
from wpp.provisioning.creation import Creation
from wpp.provisioning.number import primary_number
from wpp.provisioning.recovery import running_session
from wpp.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from emulator.platform.responses import PlatformApp
    from emulator.supabase.app import SupabaseApp
    from emulator.web import Application
    from wpp.clock import Tick, Ticker

Outcome = Literal["answer", "lose the request", "lose the answer", "die"]
_PATIENCE = 20.0  # real seconds; an actor that takes longer hangs


class Killed(BaseException):
    """SIGKILL: no handler for failures runs."""


class World(EmulatedClock):
    """Virtual time: every look at it is a little later than the one before, as in a real world.

    While it passes, the claims of everybody who is awake get their beats.
    """

    def __init__(self) -> None:
        super().__init__()
        self._now = 1_800_000_000.0
        self.actors: list[Actor] = []

    def now(self) -> float:
        with self._lock:
            self._now += 0.000_011
            return self._now

    def advance(self, seconds: float) -> None:
        while seconds > 0:
            step = min(seconds, BEAT_SECONDS)
            seconds -= step
            with self._lock:
                self._now += step
            for actor in self.actors:
                if not (actor.done or actor.is_asleep):
                    actor.beat_if_due()


class _Beats:
    """An actor's ticker: it ticks when the test says so."""

    def __init__(self, actor: Actor, tick: Tick) -> None:
        self._actor = actor
        self._tick: Tick | None = tick

    def stop(self) -> None:
        self._tick = None

    def beat(self) -> None:
        if self._tick and self._tick() is None:
            self.stop()


class _Gated(Transport):
    def __init__(self, actor: Actor) -> None:
        self._actor = actor

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout: float) -> Response:
        return self._actor.send(method, url, headers, body)

    def start_thread(self, run: Callable[[], None]) -> None:
        """There is only the actor's own thread, so what runs alongside runs at once."""
        run()

    def close(self) -> None:
        pass


class Actor:
    """One invocation, going on only when it is told to."""

    def __init__(
        self,
        world: World,
        supabase: SupabaseApp,
        platform: PlatformApp,
        organization_id: str,
        skew: float,
        *,
        recreate: bool = False,
    ) -> None:
        self.is_asleep = False
        """Its process is stopped, or its machine sleeps: no beats."""
        self.suspended = 0.0
        """Seconds of the world that this actor's monotonic clock did not see, as while its machine slept."""
        self.began = world.now()
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
        self._beats: list[_Beats] = []
        self.beat_outcome: Outcome = "answer"
        self._last_beat = 0.0
        self._clock = clock
        self._runtime = Runtime(config_from(env), clock, _Gated(self), self._start_beats)
        self._organization_id = organization_id
        self._recreate = recreate
        world.actors.append(self)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._settle()

    def go_on(self, outcome: Outcome) -> None:
        """Lets the request that it waits with happen, and waits until it wants the next or has ended."""
        self._told.put(outcome)
        self._settle()

    def beat_if_due(self) -> None:
        now = self._clock.monotonic()
        if now - self._last_beat < BEAT_SECONDS:
            return
        self._last_beat = now
        for beats in list(self._beats):
            beats.beat()

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Response:
        if threading.current_thread() is self._thread:
            self._arrived.put(False)
            outcome = self._told.get()
        else:
            outcome = self.beat_outcome
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

    def _start_beats(self, _: float, tick: Tick) -> Ticker:
        self._last_beat = self._clock.monotonic()
        self._beats.append(_Beats(self, tick))
        return self._beats[-1]  # type: ignore[return-value]

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
        row = number.find(invocation.rows.of_organization(self._organization_id))
        recreate = row if self._recreate else None
        client = Creation(invocation, number, replacing=recreate, stop_first=self._recreate).obtain(row)
        session, _ = running_session(invocation, number, client)
        return session.credentials.session


def settings_of(supabase: SupabaseApp, organization_id: str) -> list[dict[str, Any]]:
    return [row["settings"] for row in supabase.rows(organization_id)]
