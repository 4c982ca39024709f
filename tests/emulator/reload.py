"""Picks up changes of the code that the local stack serves, but only what can be loaded: what serves goes on serving."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING

from tests.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

_EVERY = 0.3  # seconds between two looks; the files are few


def problem(functions: Path) -> str | None:
    """Why the code as it is now cannot be loaded, in one line with file and line number; None where it can."""
    command = [sys.executable, "-m", "tests.emulator.trial", str(functions)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT, check=False)
    if ran.returncode == 0:
        return None
    lines = (ran.stdout or ran.stderr).strip().splitlines() or ["it cannot be loaded"]
    return lines[-1].replace(f"{ROOT}/", "")


class Watcher:
    """Tells of changed code, from a thread of its own; `always` is called with every look, after that."""

    def __init__(
        self, folders: Iterable[Path], changed: Callable[[list[Path]], None], always: Callable[[], None]
    ) -> None:
        self._folders = list(folders)
        self._changed = changed
        self._always = always
        self._stopped = threading.Event()
        self._seen = self._look()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(_EVERY):
            now = self._look()
            if now != self._seen:
                differing = sorted({path for path, _ in now.items() ^ self._seen.items()})
                self._seen = now
                self._changed(differing)
            self._always()

    def _look(self) -> dict[Path, tuple[int, int]]:
        found = {}
        for folder in self._folders:
            for path in folder.rglob("*.py"):
                try:
                    stat = path.stat()
                except OSError:
                    continue  # gone since it was listed
                found[path] = (stat.st_mtime_ns, stat.st_size)
        return found
