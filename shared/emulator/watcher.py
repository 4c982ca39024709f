"""Notices changed files, by looking again and again: the files are few."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

_PERIOD = 0.3  # seconds between two looks


class Watcher:
    """Calls back from a thread of its own when Python files have changed since it was created."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self._folders = list(folders)
        self._stopped = threading.Event()
        self._seen = self._look()
        self._thread: threading.Thread | None = None

    def start(self, changed: Callable[[list[Path]], bool], always: Callable[[], None]) -> None:
        """`changed` gets the paths that differ, and gets them again if it returns False; `always` is called after each look."""
        self._thread = threading.Thread(target=self._watch, args=(changed, always), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()

    def wait(self) -> None:
        """Until no callback runs any more."""
        if self._thread is not None:
            self._thread.join()

    @property
    def stopped(self) -> bool:
        return self._stopped.is_set()

    def _watch(self, changed: Callable[[list[Path]], bool], always: Callable[[], None]) -> None:
        while not self._stopped.wait(_PERIOD):
            now = self._look()
            differing = sorted({path for path, _ in now.items() ^ self._seen.items()})
            if not differing or changed(differing):
                self._seen = now
            always()

    def _look(self) -> dict[Path, tuple[int, int]]:
        found = {}
        for folder in self._folders:
            with suppress(OSError):  # a folder that was removed while it was read
                for path in folder.rglob("*.py"):
                    with suppress(OSError):  # removed since it was listed
                        stat = path.stat()
                        found[path] = (stat.st_mtime_ns, stat.st_size)
        return found
