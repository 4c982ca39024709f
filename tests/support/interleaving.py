"""Invocations whose every request to the outside waits for the test: any interleaving, loss or death can be played.

Each actor runs the real provisioning code on a thread of its own, a request at a time, on the emulated systems' own state.
Time is the world's: it moves only when the test moves it, and each process has a wall clock of its own.
"""

from __future__ import annotations

import json
import queue
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote, urlsplit

from emulator.clock import Clock as EmulatedClock
from emulator.messages import Request
from emulator.platform.responses import PlatformApp
from tests.support.claims import Claims
from tests.support.releases import PRESENT, Lost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from emulator.messages import Response
    from emulator.supabase.app import SupabaseApp
    from emulator.web import Application
    from tests.support.releases import Release

Outcome = Literal["answer", "lose the request", "lose the answer", "arrive late", "die", "die, arrive late"]
Doing = Literal["connect", "recreate", "disconnect", "reconcile"]
LATE = 8.0  # seconds on the way
_STEP = 0.5  # seconds
_PATIENCE = 20.0  # real seconds; an actor that takes longer hangs


class Killed(BaseException):
    """SIGKILL: no handler for failures runs."""


class World(EmulatedClock):
    """Virtual time: every look at it is a little later than the one before, as in a real world.

    While it passes, the claims of everybody who is awake get their beats, and late requests arrive.
    """

    def __init__(self, supabase: SupabaseApp, organization_id: str) -> None:
        super().__init__()
        self._now = 1_800_000_000.0
        self.supabase = supabase
        self.platform = PlatformApp(self)
        self.organization_id = organization_id
        self.actors: list[Actor] = []
        self.claims = Claims()
        self._on_the_way: list[tuple[float, Callable[[], object]]] = []

    def now(self) -> float:
        with self._lock:
            self._now += 0.000_011
            return self._now

    def advance(self, seconds: float) -> None:
        while seconds > 0:
            step = min(seconds, _STEP)
            seconds -= step
            with self._lock:
                self._now += step
            for process in {actor.process for actor in self.actors}:
                process.watch()
            for actor in self.actors:
                actor.beat_if_due()
            arrived = [entry for entry in self._on_the_way if entry[0] <= self._now]
            for entry in arrived:
                self._on_the_way.remove(entry)
                entry[1]()

    def later(self, at: float, carry_out: Callable[[], object]) -> None:
        self._on_the_way.append((at, carry_out))


class Process:
    """What invocations share that run in one process: its release, its memory, its clocks and its network."""

    def __init__(self, world: World, skew: float = 0.0, release: Release = PRESENT) -> None:
        """`skew`, in seconds, is how far its wall clock is wrong."""
        self.world = world
        self.skew = skew
        self.release = release
        self.memory = release.new_memory()
        self.is_asleep = False
        """It is stopped, or its machine sleeps: no beats."""
        self.suspended = 0.0
        """Seconds of the world that its monotonic clock did not see, as while its machine slept."""
        self.is_cut_off = False
        """Its requests to Supabase are lost."""
        self.background: Outcome = "answer"
        """Of the requests that are not sent by an actor's own thread: its beats, and what runs alongside."""
        self.troubled_at = float("-inf")
        """When it was last stopped or cut off, or lost its beats."""

    def successor(self) -> Process:
        """Started in its place."""
        return Process(self.world, self.skew, self.release)

    def at_work(self) -> list[Actor]:
        return [actor for actor in self.world.actors if actor.process is self and not actor.done]

    def watch(self) -> None:
        if self.is_asleep or self.is_cut_off or self.background != "answer":
            self.troubled_at = self.world.now()

    def recover(self) -> None:
        self.is_asleep = self.is_cut_off = False
        self.background = "answer"

    def wall_clock(self) -> float:
        return self.world.now() + self.skew

    def monotonic(self) -> float:
        return self.world.now() - self.suspended


class Actor:
    """One invocation, going on only when it is told to."""

    def __init__(self, process: Process, doing: Doing = "connect", **options: Any) -> None:
        """`options` are for the release's own `run`."""
        self.process = process
        self.doing = doing
        self.world = process.world
        self.began = self.world.now()
        self.looked = float("inf")
        """When it got the first response, which tells it of the row."""
        self.pending = ""
        """The call that it is about to send, or has sent."""
        self.is_fenced = process.release is PRESENT
        """False for code without a fence, and once a clock on which the fence relies stood still."""
        self.slept = False
        """Since the pending request was ready to be sent."""
        self.calls: list[str] = []
        """That it sent, with or without success."""
        self.done = False
        self.ended = float("inf")
        self.error: Exception | None = None
        self.session: str | None = None
        self._arrived: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._told: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._in_background = 0
        self._beats: list[_Beats] = []
        self.beating_since = float("inf")
        """When it last learned that it holds a claim."""
        self._options = options
        self.world.actors.append(self)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._settle()

    def go_on(self, outcome: Outcome = "answer") -> None:
        """Lets the request that it waits with happen, and waits until it wants the next or has ended."""
        self._told.put(outcome)
        self._settle()

    def to_the_end(self, limit: int = 2000) -> None:
        for _ in range(limit):
            if self.done:
                return
            self.go_on()
        raise AssertionError("it does not come to an end")

    @property
    def is_beating(self) -> bool:
        return any(beats.is_running for beats in self._beats)

    def start_beats(self, first: float, tick: Callable[[], float | None]) -> _Beats:
        self.beating_since = self.world.now()
        self._beats.append(_Beats(self.process.monotonic() + first, tick))
        return self._beats[-1]

    def beat_if_due(self) -> None:
        if self.done or self.process.is_asleep:
            return
        for beats in list(self._beats):
            with self.in_background():
                beats.beat_if_due(self.process.monotonic)

    @contextmanager
    def in_background(self) -> Iterator[None]:
        """What is sent in the block does not wait for the test."""
        self._in_background += 1
        try:
            yield
        finally:
            self._in_background -= 1

    def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout: float
    ) -> tuple[int, bytes]:
        """Status and body of the response. Raises Lost."""
        parts = urlsplit(url)
        names = {name.lower(): value for name, value in headers.items()}
        request = Request(method, unquote(parts.path), parts.query, names, body or b"")
        system = parts.hostname or ""
        app: Application = self.world.supabase if system == "supabase" else self.world.platform
        call, respond = app.route(request)
        ready, outcome = self.world.now(), self.process.background
        if not self._in_background:
            outcome = self._outcome(call)
        is_lost = outcome == "lose the request" or (self.process.is_cut_off and system == "supabase")
        is_late = outcome.endswith("arrive late")
        if is_late and not is_lost:
            self.world.later(ready + LATE, lambda: self._carried_out(request, respond))
        if outcome.startswith("die"):
            raise Killed
        if is_lost:
            raise Lost
        if is_late:
            self.world.advance(ready + timeout - self.world.now())
        if is_late or (self.world.now() > ready + timeout and not self.slept):
            raise Lost(timed_out=True)
        response = self._carried_out(request, respond)
        if outcome == "lose the answer":
            raise Lost(timed_out=True)
        self.looked = min(self.looked, self.world.now())
        return response.status, response.body

    def _outcome(self, call: str) -> Outcome:
        self.pending, self.slept = call, False
        self.calls.append(call)
        self.world.claims.sending(self, call, self.world.now())
        self._arrived.put(False)
        return self._told.get()

    def _carried_out(self, request: Request, respond: Callable[[], Response]) -> Response:
        response = respond()
        is_change = request.method in ("POST", "PATCH") and request.path.startswith("/rest/")
        if is_change and response.status in (200, 201) and json.loads(response.body):
            self.world.claims.changed(self, request.json()["settings"], self.world.now())
        return response

    def _settle(self) -> None:
        self.done = self._arrived.get(timeout=_PATIENCE)
        if self.done:
            self._thread.join(_PATIENCE)

    def _run(self) -> None:
        try:
            self.session = self.process.release.run(self, **self._options)
        except self.process.release.errors as error:
            self.error = error
        except Killed:
            pass
        finally:
            self.ended = self.world.now()
            self._arrived.put(True)


class _Beats:
    """An actor's ticker."""

    def __init__(self, first: float, tick: Callable[[], float | None]) -> None:
        self._due: float | None = first
        self._tick = tick

    @property
    def is_running(self) -> bool:
        return self._due is not None

    def stop(self) -> None:
        self._due = None

    def beat_if_due(self, monotonic: Callable[[], float]) -> None:
        if self._due is None or monotonic() < self._due:
            return
        self._due = float("inf")  # a beat that has to wait lets the world go on, but not with a second beat
        pause = self._tick()
        if pause is None or self._due is None:
            self._due = None
        else:
            self._due = monotonic() + pause
