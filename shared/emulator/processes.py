"""The functions as processes of their own: one under functions-framework, or all under the product's server."""

from __future__ import annotations

import atexit
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

ROOT = Path(__file__).resolve().parents[2]
GUNICORN = ROOT / "shared/deploy/selfhosted/gunicorn.conf.py"
_GUARD = Path(__file__).with_name("guard.py")
_START_TIMEOUT = 60.0  # seconds


_reserved: list[socket.socket] = []


@atexit.register
def _close_reserved() -> None:
    for probe in _reserved:
        probe.close()


def free_port() -> int:
    """A port on which nobody listens; on Linux, no other process and no later call gets it either.

    There it stays bound without listening, so the kernel hands it to nobody else, while a server that sets SO_REUSEADDR, as all
    of ours do, may still listen on it.
    """
    probe = socket.socket()
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    probe.bind(("127.0.0.1", 0))
    port = int(probe.getsockname()[1])
    if sys.platform == "linux":
        _reserved.append(probe)
    else:
        probe.close()
    return port


class Started(Protocol):
    """What is used of a process; subprocess.Popen is one."""

    @property
    def pid(self) -> int: ...
    @property
    def stdin(self) -> IO[bytes] | None: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...


class FunctionProcess:
    """A server process on a port of its own. Its output is kept, for tests that read the log."""

    def __init__(
        self,
        arguments: Sequence[str],
        env: Mapping[str, str],
        port: int,
        *,
        show: bool | IO[bytes] = False,
        python: Path | str = sys.executable,
        cwd: Path = ROOT,
        guarded: Path | None = None,
    ) -> None:
        """With `show` the output goes to the terminal instead, or to the file that `show` is. With `guarded`, the server ends
        with this process even if that is killed, and the folder `guarded` is removed."""
        self._show = show
        guard = [sys.executable, "-I", "-S", str(_GUARD), str(guarded)] if guarded else []
        self._arguments = [*guard, str(python), *arguments]
        self._is_guarded = guarded is not None
        self._cwd = cwd
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._output = tempfile.NamedTemporaryFile()  # noqa: SIM115 - closed in stop()
        # The developer's own environment does not reach the functions: `env` is all they get.
        clean = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self._env = {**clean, **env, "PYTHONUNBUFFERED": "1"}
        self._process = self._started()

    def _started(self) -> Started:
        return subprocess.Popen(
            self._arguments,
            cwd=self._cwd,
            env=self._env,
            stdin=subprocess.PIPE if self._is_guarded else None,
            stdout=None if self._show is True else self._show or self._output,
            stderr=None if self._show is True else subprocess.STDOUT,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def wait_until_ready(self) -> None:
        give_up = time.monotonic() + _START_TIMEOUT
        while time.monotonic() < give_up:
            if self.ended:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise RuntimeError(f"the server on port {self.port} did not start:\n{self.output()[-3000:]}")

    def output(self) -> str:
        """What was written to standard output and standard error so far."""
        size = os.fstat(self._output.fileno()).st_size
        return os.pread(self._output.fileno(), size, 0).decode(errors="replace")

    def reload(self) -> None:
        """Has gunicorn replace its workers by ones with the code as it is now; no call is lost."""
        os.kill(self.pid, signal.SIGHUP)

    def start_again(self) -> None:
        """A new process in the place of one that has ended."""
        self.kill()
        self._process = self._started()

    def kill(self) -> None:
        """SIGKILL to the process and its workers: no handler runs, nothing is cleaned up."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)
        if self._process.stdin is not None:
            self._process.stdin.close()

    def stop(self) -> None:
        # Killed: on SIGTERM, gunicorn gives each client that keeps its connection open two seconds to come back.
        self.kill()
        self._output.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def function_process(
    name: str, env: Mapping[str, str], kind: type[FunctionProcess] = FunctionProcess
) -> FunctionProcess:
    """One function alone, as the README starts it. Not ready yet, so that several can start at the same time."""
    port = free_port()
    source = f"functions/{name}/main.py"
    arguments = ["-m", "functions_framework", "--source", source, "--target", name, "--port", str(port)]
    return kind([*arguments, "--host", "127.0.0.1"], env, port)


def server_process(
    env: Mapping[str, str],
    port: int,
    *,
    show: bool | IO[bytes] = False,
    workers: int = 1,
    configuration: Path = GUNICORN,
    guarded: Path | None = None,
) -> FunctionProcess:
    """All functions under the product's server, with the configuration that is deployed. Not ready yet."""
    arguments = ["-m", "gunicorn", "--config", str(configuration), "--bind", f"127.0.0.1:{port}"]
    arguments += ["--workers", str(workers), "--log-level", "warning"]
    return FunctionProcess(arguments, env, port, show=show, guarded=guarded)
