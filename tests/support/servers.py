"""The server of all functions as it is deployed: under gunicorn, with the configuration that goes on the server."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Self

import requests

from emulator.processes import GUNICORN, FunctionProcess, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

_PAUSE = 0.05  # seconds between the calls of a client


def start_server(
    functions: Path, env: Mapping[str, str] | None = None, arguments: Sequence[str] = (), *, workers: int = 1
) -> FunctionProcess:
    port = free_port()
    command = ["-m", "gunicorn", "--config", str(GUNICORN), "--bind", f"127.0.0.1:{port}"]
    command += ["--workers", str(workers), *arguments]
    server = FunctionProcess(command, {"FUNCTIONS_DIR": str(functions), **(env or {})}, port)
    wait_for(lambda: requests.get(server.url + "/healthz", timeout=5).status_code < 600)
    return server


def reload(server: FunctionProcess) -> None:
    os.kill(server.pid, signal.SIGHUP)


def workers(server: FunctionProcess) -> set[str]:
    """The process ids of its children."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    processes = [line.split() for line in listed.splitlines()]
    return {pid for pid, parent in processes if parent == str(server.pid)}


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    """Until `condition()` is true; a refused connection counts as false."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        try:
            if condition():
                return
        except requests.RequestException:
            pass
        time.sleep(0.05)
    raise AssertionError(f"not true within {seconds} seconds")


class Calling:
    """Clients that call all the time while the block runs, each request counted; half of them keep their connections.

    With a short pause between calls: without one, they take the processor from the server under test.
    """

    def __init__(self, url: str, clients: int = 2) -> None:
        self.url = url
        self.failures: list[str] = []
        self.versions: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(n % 2 == 0,)) for n in range(clients)]

    def _call(self, keep: bool) -> None:
        session = requests.Session()
        while not self._stop.is_set():
            try:
                answer = (session if keep else requests).get(self.url, timeout=30)
                body = answer.json()
                if answer.status_code == 200:
                    self.versions.append(body["version"])
                else:
                    self.failures.append(f"{answer.status_code} {body}")
            except (requests.RequestException, ValueError) as error:
                self.failures.append(repr(error))
            self._stop.wait(_PAUSE)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
