"""The functions as threads of the test process, with real HTTP on real ports.

A mutant is switched on in one process, and one process has to see which tests enter which function. A pytest plugin that only
`make mutants` loads: it comes before the test modules, since those import what it replaces.
"""

from __future__ import annotations

import logging
import os
import threading
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import functions_framework
import hypothesis
import pytest
from werkzeug.serving import WSGIRequestHandler, make_server

from emulator import processes
from emulator.processes import ROOT, free_port
from tests.support import servers
from wpp.faas import function, logs, server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

    from wpp.runtime import Runtime

_current = threading.local()
_environment_lock = threading.RLock()
_serving: list[_FunctionThreads] = []

hypothesis.settings.register_profile(
    "mutants",
    derandomize=True,  # a test that finds something with one mutant in ten says nothing of the other nine
    max_examples=20,
    deadline=None,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
hypothesis.settings.load_profile("mutants")


@contextmanager
def _environment(env: Mapping[str, str]) -> Iterator[None]:
    """The configuration is read once, by the first call: nobody else sees it meanwhile."""
    with _environment_lock:
        before = {name: os.environ.get(name) for name in env}
        os.environ.update(env)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


class _Process(function.Process):
    def __init__(self, env: Mapping[str, str]) -> None:
        super().__init__()
        self._env = env

    def runtime(self) -> Runtime:
        with _environment(self._env):
            return super().runtime()


class _CurrentProcess:
    """In the place of the one that a process has: that of the server whose thread asks."""

    def __init__(self, default: function.Process) -> None:
        self._default = default

    def __getattr__(self, name: str) -> Any:
        return getattr(getattr(_current, "process", self._default), name)


class _Log(logging.Handler):
    """The lines as the functions write them, each for the server whose thread writes it; those of helping threads for all."""

    def emit(self, record: logging.LogRecord) -> None:
        formatter = next(
            (h.formatter for h in logging.getLogger("wpp").handlers if h is not self and h.formatter), None
        )
        line = (formatter or logs.JsonLines()).format(record) + "\n"
        process = getattr(_current, "process", None)
        for threads in tuple(_serving):  # another thread may stop one
            if process is None or threads.process is process:
                threads.lines.append(line)


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's own name
        pass


class _FunctionThreads:
    """Used as a FunctionProcess is, but for what needs a process: it cannot be killed or reloaded."""

    def __init__(self, make_app: Callable[[], Any], env: Mapping[str, str], port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._env = env
        self.lines: list[str] = []
        self.start_afresh()
        _serving.append(self)
        with _environment(env), self._as_current():
            self._app = make_app()
        ports = [port, int(env.get("METRICS_PORT", port))]
        self._servers = [
            make_server("127.0.0.1", one, self._answer, threaded=True, request_handler=_Handler) for one in {*ports}
        ]
        for one in self._servers:
            threading.Thread(target=one.serve_forever, args=[0.05], daemon=True).start()

    def start_afresh(self) -> None:
        """Forgets all that a process remembers, as one that is started again."""
        self.process = _Process(self._env)

    @contextmanager
    def _as_current(self) -> Iterator[None]:
        _current.process = self.process
        try:
            yield
        finally:
            del _current.process

    def _answer(self, environ: Any, start_response: Any) -> Any:
        with self._as_current():
            return self._app(environ, start_response)

    def wait_until_ready(self) -> None:
        """It is: the port listens from the beginning."""

    def output(self) -> str:
        return "".join(self.lines)

    def stop(self) -> None:
        _serving.remove(self)
        for one in self._servers:
            one.shutdown()
            one.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


@cache
def _app_of(name: str) -> Any:
    return functions_framework.create_app(  # type: ignore[no-untyped-call]
        name, str(ROOT / f"functions/{name}/main.py")
    )


def _function_threads(name: str, env: Mapping[str, str], _: object = None) -> _FunctionThreads:
    return _FunctionThreads(lambda: _app_of(name), env, free_port())


def _server_threads(env: Mapping[str, str], port: int, **_: Any) -> _FunctionThreads:
    folder = Path(env.get("FUNCTIONS_DIR", ROOT / "functions"))
    return _FunctionThreads(lambda: server.create_app(folder), env, port)


def _started_server_threads(
    functions: Path, env: Mapping[str, str] | None = None, _: object = (), **__: Any
) -> _FunctionThreads:
    return _server_threads({"FUNCTIONS_DIR": str(functions), **(env or {})}, free_port())


@pytest.fixture(autouse=True)
def _nothing_is_remembered_from_earlier_tests() -> None:
    """Otherwise what a test enters would depend on which tests ran before it, and with a mutant only some of them do."""
    for threads in _serving:
        threads.start_afresh()


vars(function)["_PROCESS"] = _CurrentProcess(function.Process())
vars(processes).update(function_process=_function_threads, server_process=_server_threads)
vars(servers).update(start_server=_started_server_threads)
logging.getLogger("wpp").addHandler(_Log())
