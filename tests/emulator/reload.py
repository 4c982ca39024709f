"""Picks up changes of the code that the local stack serves, but only what can be loaded: what serves goes on serving."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.processes import GUNICORN, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

_EVERY = 0.3  # seconds between two looks; the files are few
_KEPT = 5  # copies: workers of earlier ones may still be answering, and loading what they had no need of before
_NO_CODE = shutil.ignore_patterns("__pycache__", ".*", "node_modules")


class Code:
    """What serves is a copy that was tried, so that a save can break neither the server nor what it loads at the same moment."""

    def __init__(self, functions: Path, wpp: Path = ROOT / "shared/wpp") -> None:
        self.sources = {"functions": functions, "shared/wpp": wpp}
        self._numbers = count()
        self._temporary = tempfile.TemporaryDirectory(prefix="wpp-functions-", ignore_cleanup_errors=True)
        self._folder = Path(self._temporary.name)
        self._serving = self._folder / "serving"
        self._copies = re.compile(rf"{re.escape(str(self._folder))}/\w+/({'|'.join(self.sources)})")
        self.server_configuration = Path(shutil.copy(GUNICORN, self._folder))

    def environment(self) -> dict[str, str]:
        """What has a server load the copy that serves when it starts or reloads."""
        return {"FUNCTIONS_DIR": f"{self._serving}/functions", "PYTHONPATH": f"{self._serving}/shared"}

    def copied(self) -> Path:
        """A copy of the code as it is now."""
        number = next(self._numbers)
        copy = self._folder / str(number)
        for name, source in self.sources.items():
            shutil.copytree(source, copy / name, ignore=_NO_CODE, ignore_dangling_symlinks=True)
        shutil.rmtree(self._folder / str(number - _KEPT), ignore_errors=True)
        return copy

    def problem(self, copy: Path) -> str | None:
        """Why a copy cannot be loaded, in one line with file and line number; None where it can."""
        command = [sys.executable, "-m", "tests.emulator.trial", str(copy / "functions")]
        env = os.environ | {"PYTHONPATH": str(copy / "shared"), "PYTHONDONTWRITEBYTECODE": "1"}
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT, env=env, check=False)
        if ran.returncode == 0:
            return None
        lines = (ran.stdout or ran.stderr).strip().splitlines() or ["it cannot be loaded"]
        return self.by_source(lines[-1])

    def serve(self, copy: Path) -> None:
        """The next server or worker loads this one."""
        new = self._folder / "new"
        new.symlink_to(copy)
        new.replace(self._serving)

    def by_source(self, text: str) -> str:
        """`text` with the paths that a person knows."""
        return self._copies.sub(lambda match: str(self.sources[match[1]]), text).replace(f"{ROOT}/", "")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._temporary.cleanup()


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
