"""How an actor runs the code of a release: the present one, and the one before it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from wpp.clock import Clock
from wpp.config import config_from
from wpp.errors import NumberNotFound, WppError
from wpp.http.messages import Response, TransportFailed
from wpp.http.transport import Transport
from wpp.operating.reconciler import Reconciler
from wpp.provisioning.creation import Creation
from wpp.provisioning.disconnect import disconnect_row
from wpp.provisioning.number import primary_number
from wpp.provisioning.recovery import running_session
from wpp.runtime import Memory, Runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.support.interleaving import Actor, World


class Lost(Exception):
    """No response came."""

    def __init__(self, *, timed_out: bool = False) -> None:
        super().__init__()
        self.timed_out = timed_out


class Release(Protocol):
    @property
    def errors(self) -> type[Exception]: ...

    def new_memory(self) -> Any: ...

    def run(self, actor: Actor) -> str | None:
        """Does what the actor is there for; returns the session that its organization has then, if it was to have one."""
        ...


def environment(world: World) -> dict[str, str]:
    return {
        "SUPABASE_URL": "http://supabase",
        "SUPABASE_SERVICE_ROLE_KEY": world.supabase.service_role_key,
        "WPP_SECRET": world.platform.wpp_secret,
        "WPP_BASE_URL": "http://platform",
        "WPP_RESTART_AFTER_SECONDS": "20",
    }


class _Gated(Transport):
    def __init__(self, actor: Actor) -> None:
        self._actor = actor

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout: float) -> Response:
        try:
            status, content = self._actor.send(method, url, headers, body, timeout)
        except Lost as error:
            raise TransportFailed("broke the connection", timed_out=error.timed_out) from error
        return Response(status, {}, content)

    def start_thread(self, run: Callable[[], None]) -> None:
        """There is only the actor's own thread, so what runs alongside runs at once, and is done before the test goes on."""
        with self._actor.in_background():
            run()

    def close(self) -> None:
        pass


class _Present:
    errors = WppError

    def new_memory(self) -> Memory:
        return Memory()

    def run(self, actor: Actor, **changed: Any) -> str | None:
        process = actor.process
        clock = Clock(process.wall_clock, process.monotonic, process.world.advance)
        config = config_from(environment(process.world))._replace(**changed)
        runtime = Runtime(config, clock, _Gated(actor), actor.start_beats)  # type: ignore[arg-type]
        runtime.memory = process.memory
        if actor.doing == "reconcile":
            deque(Reconciler(runtime, fix=True, rate=100).outcomes(), maxlen=0)
            return None
        invocation = runtime.begin("wpp-create", "request")
        number = primary_number(process.world.organization_id)
        row = number.find(invocation.rows.of_organization(number.organization_id))
        if actor.doing == "disconnect":
            if row is None:
                raise NumberNotFound
            disconnect_row(invocation, row)
            return None
        recreate = actor.doing == "recreate"
        client = Creation(invocation, number, replacing=row if recreate else None, stop_first=recreate).obtain(row)
        session, _ = running_session(invocation, number, client)
        return session.credentials.session


PRESENT: Release = _Present()
