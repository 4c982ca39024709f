"""The release before beats and derived idempotency keys, for actors: its claims are leases, which end by the wall clock.

`archives/wpp-a57def9.tar.gz` is its code, so that a shallow clone has it too. It was made with
`git archive --format=tar.gz -o tests/support/archives/wpp-a57def9.tar.gz a57def9 shared/wpp`.
"""

from __future__ import annotations

import atexit
import re
import shutil
import sys
import tarfile
import tempfile
from concurrent.futures import Future
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.releases import Lost, environment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.support.interleaving import Actor

_ARCHIVE = Path(__file__).with_name("archives") / "wpp-a57def9.tar.gz"
_IMPORT = re.compile(rb"^(\s*(?:from|import) )wpp\b", re.MULTILINE)


def _module(name: str) -> Any:
    return import_module(f"{_package()}.{name}")


@cache
def _package() -> str:
    """Unpacks the code under a name of its own."""
    name = "wpp_before"
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with tarfile.open(_ARCHIVE) as archive:
        for member in archive:
            content = archive.extractfile(member)
            if content is not None:
                path = folder / name / Path(member.name).relative_to("shared/wpp")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(_IMPORT.sub(rb"\1" + name.encode(), content.read()))
    sys.path.append(str(folder))
    return name


class _Gated:
    """What an actor's requests pass through, in the place of a transport."""

    def __init__(self, actor: Actor) -> None:
        self._actor = actor
        self.threads = self

    def exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout: float, meanwhile: None
    ) -> Any:
        exchange = _module("http.exchange")
        try:
            status, content = self._actor.send(method, url, headers, body, timeout)
        except Lost as error:
            raise exchange.ExchangeFailed("broke the connection", timed_out=error.timed_out) from error
        return exchange.Reply(status, {}, content)

    def submit(self, call: Callable[[], Any]) -> Future[Any]:
        """There is only the actor's own thread, so what runs alongside runs at once."""
        future: Future[Any] = Future()
        try:
            future.set_result(call())
        except Exception as error:  # noqa: BLE001 - it is raised where the result is read
            future.set_exception(error)
        return future


class _Before:
    @property
    def errors(self) -> type[Exception]:
        error: type[Exception] = _module("errors").WppError
        return error

    def new_memory(self) -> Any:
        return _module("platform.memory").ClientMemory()

    def run(self, actor: Actor) -> str | None:
        process = actor.process
        clock = _module("clock").Clock(process.wall_clock, process.monotonic, process.world.advance)
        settings = _module("config").settings_from(environment(process.world))
        runtime = _module("runtime").Runtime(settings, clock, _Gated(actor))
        runtime.memory = process.memory
        invocation = runtime.begin("wpp-create", "request")
        number = _module("provisioning.claim").primary_number(process.world.organization_id)
        row = number.find(invocation.rows.of_organization(number.organization_id))
        recreate = actor.doing == "recreate"
        creation = _module("provisioning.creation").Creation(invocation, number, stop_first=recreate)
        made = creation.obtain(row, replacing=row if recreate else None)
        session, _ = _module("provisioning.service").running(invocation, number, made, None)
        return str(session.client.credentials.session)


BEFORE = _Before()
