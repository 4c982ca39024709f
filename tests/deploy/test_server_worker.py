"""What the shipped configuration adds to gunicorn's worker, where no client can have it happen at the right moment."""

from __future__ import annotations

import subprocess
import sys

from emulator.processes import GUNICORN

REQUEST_IN_THE_LAST_MOMENT = """
from gevent import monkey
monkey.patch_all()
import importlib.util, socket, sys, types
import gevent

spec = importlib.util.spec_from_file_location("configuration", sys.argv[1])
configuration = importlib.util.module_from_spec(spec)
spec.loader.exec_module(configuration)
configuration._LINGER = 2.0
worker = configuration.Worker.__new__(configuration.Worker)
worker.cfg, worker.alive, worker._idle = types.SimpleNamespace(keepalive=75), False, {}
client, server = socket.socketpair()

def connection():
    with worker.timeout_ctx():
        received = server.recv(10)
    gevent.sleep(0.5)  # the call waits for an upstream
    print("answered", received)

def another_call():
    gevent.sleep(0.1)
    monkey.get_original("time", "sleep")(2.4)  # lets nobody else run while the idle connections become due
    client.send(b"GET")

gevent.spawn(worker._close_idle)
serving = gevent.spawn(connection)
gevent.spawn(another_call)
serving.join(20)
"""


def test_a_request_that_comes_while_a_stopping_worker_ends_idle_connections_is_answered() -> None:
    command = [sys.executable, "-c", REQUEST_IN_THE_LAST_MOMENT, str(GUNICORN)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout == "answered b'GET'\n"
