"""How gunicorn serves all functions on a server of one's own. Its command line, and GUNICORN_CMD_ARGS, win over this file.

    FUNCTIONS_DIR=functions REQUEST_LIMIT_SECONDS=60 gunicorn --config gunicorn.conf.py --bind 127.0.0.1:9100

Nothing of `wpp` is imported here: the master process must not hold an old version of it when a reload (SIGHUP) starts
workers on a new one.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import Any

wsgi_app = "wpp.faas.server:app_from_environment()"
bind = "127.0.0.1:9100"

# A call mostly waits: for Supabase, for the platform, and up to 20 seconds for a QR. So few processes and many threads.
# Never fewer than two processes, so that there is one left while the other is replaced.
worker_class = "gthread"
workers = min(max(2, len(os.sched_getaffinity(0))), 4)
threads = 32

# With threads this is no limit for a request, only for a worker that does nothing at all any more; see _watch.
timeout = 60
# A stopping worker finishes what it has begun: longer than the functions' own deadline of 28 seconds.
graceful_timeout = 35
# Longer than the gateways keep an idle connection (Kong 60 seconds, Envoy 30 as configured beside this file), so that it is
# never this side that hangs up while the next request is on its way.
keepalive = 75

# The functions log each call themselves. No files: the container's root is read-only.
accesslog = None
errorlog = "-"
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - gunicorn makes a file of its own there
control_socket_disable = True

_REQUEST_LIMIT = float(os.environ.get("REQUEST_LIMIT_SECONDS", "").strip() or 60)
_LINGER = 3.0  # seconds in which a stopping worker still answers on connections that were kept open
_started: dict[int, float] = {}


def post_fork(server: Any, worker: Any) -> None:  # noqa: ARG001
    """Ties the worker to the release that `current` points at now, whatever it imports later."""
    sys.path[:] = [os.path.realpath(path) for path in sys.path]
    sys.path_importer_cache.clear()


def pre_request(worker: Any, request: Any) -> None:  # noqa: ARG001
    _started[threading.get_ident()] = time.monotonic()


def post_request(worker: Any, request: Any, environ: Any, response: Any) -> None:  # noqa: ARG001
    _started.pop(threading.get_ident(), None)


def post_worker_init(worker: Any) -> None:
    threading.Thread(target=_watch, args=(worker,), daemon=True).start()


def _watch(worker: Any) -> None:
    """Ends this worker once a request is over the limit: a thread cannot be ended alone. Its other requests end first."""
    while not _overdue():
        time.sleep(min(1.0, _REQUEST_LIMIT / 4))
    worker.log.error("a request is not done after %g seconds: its worker is replaced", _REQUEST_LIMIT)
    os.kill(worker.pid, signal.SIGTERM)  # takes no new connections any more
    give_up = time.monotonic() + graceful_timeout
    time.sleep(_LINGER)
    while len(_started) > _overdue() and time.monotonic() < give_up:
        time.sleep(0.1)
    os._exit(0)


def _overdue() -> int:
    limit = time.monotonic() - _REQUEST_LIMIT
    return sum(start < limit for start in list(_started.values()))
