"""Runs a PostgreSQL server for exactly as long as the process lives that started this one.

A process that is killed with SIGKILL can end nothing itself. This one notices, as its standard input then ends.

    python supervisor.py USER GROUP SIGNAL FOLDER COMMAND...

USER and GROUP (numbers, or empty) are for a server that must not run as root; SIGNAL ends it, then FOLDER is removed.
"""

from __future__ import annotations

import ctypes
import select
import shutil
import signal
import subprocess
import sys

_LOOKS_EVERY = 0.5  # seconds: how long a server that ended by itself may go unnoticed
_PR_SET_PDEATHSIG = 1
_PATIENCE = 10.0  # seconds that the server has for its own end


def main(user: str, group: str, end: str, folder: str, *command: str) -> int:
    server = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        user=int(user) if user else None,
        group=int(group) if group else None,
        preexec_fn=_end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - there are no threads here
    )
    while server.poll() is None and not select.select([sys.stdin], [], [], _LOOKS_EVERY)[0]:
        pass
    server.send_signal(signal.Signals[end])
    try:
        server.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
    shutil.rmtree(folder, ignore_errors=True)
    return server.returncode


def _end_with_parent() -> None:
    """Should this process be killed as well."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
