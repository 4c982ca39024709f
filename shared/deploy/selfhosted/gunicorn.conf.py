"""How gunicorn serves all functions on a server of one's own. Its command line, and GUNICORN_CMD_ARGS, win over this file.

    FUNCTIONS_DIR=functions REQUEST_LIMIT_SECONDS=60 BIND=127.0.0.1:9100 METRICS_PORT=9101 gunicorn --config gunicorn.conf.py

Nothing of `wpp` is imported here: the master process must not hold an old version of it when a reload (SIGHUP) starts
workers on a new one. Nor is anything that uses `ssl`, such as `requests`: a worker patches it for gevent when it starts.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gevent
from gunicorn.workers.ggevent import GeventWorker

if TYPE_CHECKING:
    from collections.abc import Iterator

_REQUEST_LIMIT = float(os.environ.get("REQUEST_LIMIT_SECONDS", "").strip() or 60)
_BODY_SECONDS = 10.0  # from a request's head to the end of its body, which has 64 KiB at most
_LINGER = 3.0  # seconds in which a stopping worker still answers on connections that were kept open


class Worker(GeventWorker):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's gevent worker, but when it stops, connections without a request do not keep it until their clients hang up."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._idle: dict[gevent.Greenlet, gevent.Timeout] = {}

    @contextmanager
    def timeout_ctx(self) -> Iterator[None]:
        """Around the wait for the next request of a connection; ends it without an error."""
        timeout = gevent.Timeout(self.cfg.keepalive, False)
        self._idle[gevent.getcurrent()] = timeout
        try:
            with timeout:
                yield
        finally:
            del self._idle[gevent.getcurrent()]

    def run(self) -> None:
        gevent.spawn(self._close_idle)
        super().run()

    def _close_idle(self) -> None:
        while self.alive:
            gevent.sleep(0.2)
        gevent.sleep(_LINGER)
        loop = gevent.get_hub().loop
        while True:  # a request that was under way may leave its connection idle later; the process ends this
            for greenlet, timeout in list(self._idle.items()):
                loop.run_callback(self._end_if_idle, greenlet, timeout)
            gevent.sleep(0.2)

    def _end_if_idle(self, greenlet: gevent.Greenlet, timeout: gevent.Timeout) -> None:
        if self._idle.get(greenlet) is timeout:  # in this turn of the loop, a request may have come first
            greenlet.throw(timeout)


wsgi_app = "wpp.faas.server:app_from_environment()"
bind = [os.environ.get("BIND", "").strip() or "127.0.0.1:9100"]
_METRICS_PORT = os.environ.get("METRICS_PORT", "").strip()
if _METRICS_PORT:
    host = "127.0.0.1" if bind[0].startswith("unix:") else bind[0].rpartition(":")[0]
    bind.append(f"{host}:{_METRICS_PORT}")
    # Where the workers keep their metrics, so that any of them answers for all. The files of those that have ended count too.
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="wpp-metrics-")

# A call mostly waits: for Supabase, for the platform, and up to 20 seconds for a QR. On gevent one that waits costs 0.1 MB and
# no thread. Two processes, so that there is one left while the other is replaced: one answers about 400 calls a second.
worker_class = Worker
workers = int(os.environ.get("WEB_CONCURRENCY", "").strip() or 2)
# For each. Who comes beyond that waits in the kernel, the one place where waiting does not count for a call's deadline.
worker_connections = 1000
# Python's own limit is often 1,024 files: a connection of a caller may need one or two upstream.
_FILES = 4 * worker_connections

# Head of a request: a token has 8,000 characters at most, and browsers and gateways send about 30 fields.
limit_request_line = 4094
limit_request_field_size = 8190
limit_request_fields = 64

# A worker whose loop stands still for so long, as while a function computes without end, is killed, and all its calls with it.
timeout = 30
# A stopping worker finishes what it has begun: longer than the functions' own deadline of 28 seconds.
graceful_timeout = 35
# Longer than the gateways keep an idle connection (Kong 60 seconds, Envoy 30 as configured in gateway/), so that it is
# never this side that hangs up while the next request is on its way. The head of a request has as long.
keepalive = 75

# The functions log each call themselves. No files: the container's root is read-only.
accesslog = None
errorlog = "-"
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - gunicorn makes a file of its own there
control_socket_disable = True

_limits: dict[Any, gevent.Greenlet] = {}


class _BodyInTime:
    """The source of a request's body, for as long as a body may take. Later reads raise TimeoutError."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self._give_up = time.monotonic() + _BODY_SECONDS

    def read(self, size: int) -> bytes:
        seconds = max(0.0, self._give_up - time.monotonic())
        with gevent.Timeout(seconds, TimeoutError("the body did not arrive in time")):
            data: bytes = self._reader.read(size)
            return data


def post_fork(server: Any, worker: Any) -> None:  # noqa: ARG001
    """Ties the worker to the release that `current` points at now, whatever it imports later.

    And lets a reload end a worker that is still starting: until gunicorn has installed the worker's own signal handlers, those of
    the master are in place. They would swallow the only SIGTERM, and the worker would outlive the reload by half a minute.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.path[:] = [os.path.realpath(path) for path in sys.path]
    sys.path_importer_cache.clear()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _FILES:
        wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def child_exit(server: Any, worker: Any) -> None:  # noqa: ARG001
    """Nobody waits at a worker that has ended. As prometheus_client's mark_process_dead, which cannot be imported here."""
    if not _METRICS_PORT:
        return
    for path in Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).glob(f"gauge_live*_{worker.pid}.db"):
        path.unlink()


def on_exit(server: Any) -> None:  # noqa: ARG001
    if _METRICS_PORT:
        shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)


def pre_request(worker: Any, request: Any) -> None:
    request.body.reader = _BodyInTime(request.body.reader)
    _limits[request] = gevent.spawn_later(_REQUEST_LIMIT, _end, worker, gevent.getcurrent())


def post_request(worker: Any, request: Any, environ: Any, response: Any) -> None:  # noqa: ARG001
    _limits.pop(request).kill(block=False)


def _end(worker: Any, greenlet: gevent.Greenlet) -> None:
    """Ends the request that `greenlet` works on, and nothing else: a SystemExit passes by a function's `except Exception`."""
    worker.log.error("a request is not done after %g seconds: it is ended", _REQUEST_LIMIT)
    greenlet.kill(SystemExit("it takes too long"), block=False)
