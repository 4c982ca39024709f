"""Runs a server for exactly as long as the process lives that started this one, and ends all that the server started.

A process that is killed with SIGKILL can end nothing itself. This one notices, as its standard input then ends.

    python guard.py FOLDER COMMAND...

FOLDER is removed then. In any other case it is the business of whoever started this.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading


def main(folder: str, *command: str) -> int:
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    signal.signal(signal.SIGHUP, lambda number, _: server.send_signal(number))  # gunicorn's reload
    threading.Thread(target=_end_with_parent, args=[folder], daemon=True).start()
    return server.wait() & 0xFF


def _end_with_parent(folder: str) -> None:
    os.read(sys.stdin.fileno(), 1)
    shutil.rmtree(folder, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)  # its own group: this process leads it


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
