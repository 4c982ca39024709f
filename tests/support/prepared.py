"""Functions under functions-framework, forked from a process that has imported what all of them need.

Each costs a tenth of the processor's time of one that starts from nothing, which matters where there are many. What runs in it
is what `python -m functions_framework` runs, except that an answer waits for what is done beside it: otherwise a test on a busy
machine would meet what an earlier call is still doing.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from functools import cache
from typing import NoReturn

import wpp.runtime
from emulator.processes import ROOT, FunctionProcess, Started

_IMPORTED = (
    "functions_framework._cli", "functions_framework._http.gunicorn", "jose.jwt", "wpp.faas.aws_lambda",
    "wpp.faas.functions_framework", "wpp.http.transport", "wpp.provisioning.disconnect", "wpp.provisioning.look",
    "wpp.provisioning.service",
)  # fmt: skip
_PATIENCE = 4.0  # seconds: longer than anything but a hang takes, and no call runs into its deadline for it

_lock = threading.Lock()


class PreparedProcess(FunctionProcess):
    """Its arguments are `-m`, a module and what that is given."""

    def _started(self) -> Started:
        with _lock:
            parent = _parent()
            assert parent.stdin
            assert parent.stdout
            print(json.dumps([self._arguments[1:], self._env, self._output.name]), file=parent.stdin, flush=True)
            return _Forked(int(parent.stdout.readline()))


class _Forked:
    """A process that is not our child: its parent has the kernel forget it as soon as it ends."""

    stdin = None

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def poll(self) -> int | None:
        """0 for whatever exit status it had."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return 0
        return None

    def wait(self, timeout: float | None = None) -> int:
        give_up = time.monotonic() + (timeout or float("inf"))
        while self.poll() is None:
            if time.monotonic() > give_up:
                raise TimeoutError(f"process {self.pid} has not ended")
            time.sleep(0.005)
        return 0


@cache
def _parent() -> subprocess.Popen[str]:
    """Ends with this process."""
    pipe = subprocess.PIPE
    parent = subprocess.Popen([sys.executable, "-u", "-m", __name__], cwd=ROOT, stdin=pipe, stdout=pipe, text=True)
    atexit.register(parent.communicate)
    return parent


def _main() -> None:
    for name in _IMPORTED:
        importlib.import_module(name)
    wpp.runtime._PATIENCE = _PATIENCE  # noqa: SLF001 - production has no use for another one
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while line := sys.stdin.readline():
        pid = os.fork()
        if pid == 0:
            _run(*json.loads(line))
        os.setpgid(pid, pid)  # before anybody knows of it, and ends the group
        print(pid)


def _run(arguments: list[str], env: dict[str, str], output: str) -> NoReturn:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for descriptor, path in ((0, os.devnull), (1, output), (2, output)):
        opened = os.open(path, os.O_RDWR | os.O_APPEND)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.environ.clear()
    os.environ.update(env)
    _, module, *sys.argv[1:] = arguments
    try:
        runpy.run_module(module, run_name="__main__")
    finally:
        sys.stdout.flush()
        os._exit(1)


if __name__ == "__main__":
    _main()
