"""Picks up changes of the code that the local stack serves, but only what can be loaded: what serves goes on serving."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Self

from emulator.processes import GUNICORN, ROOT
from emulator.trial import LOADED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

_EVERY = 0.3  # seconds between two looks; the files are few
_KEPT = 5  # copies that served: workers may still be answering from them, and loading what they had no need of before
_TRIAL_SECONDS = 15.0
_NAMES = shutil.ignore_patterns("__pycache__", ".*", "node_modules")


class Code:
    """What serves is a copy that was tried, so that a save can break neither the server nor what it loads at the same moment."""

    def __init__(self, functions: Path, wpp: Path = ROOT / "shared/wpp") -> None:
        self.sources = {"functions": functions, "shared/wpp": wpp}
        self._numbers = count()
        self._temporary = tempfile.TemporaryDirectory(prefix="wpp-functions-", ignore_cleanup_errors=True)
        self._folder = Path(self._temporary.name)
        self._serving = self._folder / "serving"
        self._copies = re.compile(rf"{re.escape(str(self._folder))}/\w+/({'|'.join(self.sources)})")
        self._served: deque[Path] = deque()
        self._trial: subprocess.Popen[str] | None = None
        self._ended = False
        self.server_configuration = Path(shutil.copy(GUNICORN, self._folder))

    def environment(self) -> dict[str, str]:
        """What has a server load the copy that serves when it starts or reloads."""
        return {"FUNCTIONS_DIR": f"{self._serving}/functions", "PYTHONPATH": f"{self._serving}/shared"}

    def copied(self) -> Path:
        """A copy of the code as it is now. Raises OSError, and leaves nothing, where not all of it can be read."""
        copy = self._folder / str(next(self._numbers))
        try:
            for name, source in self.sources.items():
                shutil.copytree(source, copy / name, ignore=_no_code, ignore_dangling_symlinks=True)
        except OSError:
            self.discard(copy)
            raise
        return copy

    def discard(self, copy: Path) -> None:
        """Removes a copy that serves no more, or never did."""
        shutil.rmtree(copy, ignore_errors=True)

    def problem(self, copy: Path) -> str | None:
        """Why a copy cannot be loaded, in one line with file and line number; None where it can."""
        command = [sys.executable, "-m", "emulator.trial", str(copy / "functions")]
        env = os.environ | {"PYTHONPATH": str(copy / "shared"), "PYTHONDONTWRITEBYTECODE": "1"}
        if self._ended:
            return "the stack is ending"
        # In a session of its own: a Ctrl-C is no problem of the code.
        self._trial = subprocess.Popen(
            command,
            cwd=ROOT,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            output, errors = self._trial.communicate(timeout=_TRIAL_SECONDS)
        except subprocess.TimeoutExpired:
            self._end_trial()
            self._trial.communicate()
            return f"loading it takes more than {_TRIAL_SECONDS:.0f} seconds"
        lines = (output or errors).strip().splitlines() or ["it ends the process that loads it"]
        if self._trial.returncode == 0 and lines[-1] == LOADED:
            return None
        return self.by_source(lines[-1])

    def end(self) -> None:
        """No trial goes on or begins from here on."""
        self._ended = True
        self._end_trial()

    def _end_trial(self) -> None:
        if self._trial is not None:
            with suppress(ProcessLookupError):  # with what the code itself may have started
                os.killpg(self._trial.pid, signal.SIGKILL)

    def serve(self, copy: Path) -> None:
        """The next server or worker loads this one."""
        new = self._folder / "new"
        new.symlink_to(copy)
        new.replace(self._serving)
        self._served.append(copy)
        if len(self._served) > _KEPT:
            self.discard(self._served.popleft())

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
    """Tells of changed code, from a thread of its own. What changed since it was made counts."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self._folders = list(folders)
        self._stopped = threading.Event()
        self._seen = self._look()
        self._thread: threading.Thread | None = None

    def start(self, changed: Callable[[list[Path]], bool], always: Callable[[], None]) -> None:
        """`changed` gets what differs, again with the next look where it answers False; `always` is called after each look."""
        self._thread = threading.Thread(target=self._watch, args=(changed, always), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()

    def wait(self) -> None:
        """Until nothing is told any more."""
        if self._thread is not None:
            self._thread.join()

    @property
    def stopped(self) -> bool:
        return self._stopped.is_set()

    def _watch(self, changed: Callable[[list[Path]], bool], always: Callable[[], None]) -> None:
        while not self._stopped.wait(_EVERY):
            now = self._look()
            differing = sorted({path for path, _ in now.items() ^ self._seen.items()})
            if not differing or changed(differing):
                self._seen = now
            always()

    def _look(self) -> dict[Path, tuple[int, int]]:
        found = {}
        for folder in self._folders:
            with suppress(OSError):  # a folder that went away while it was read
                for path in folder.rglob("*.py"):
                    with suppress(OSError):  # gone since it was listed
                        stat = path.stat()
                        found[path] = (stat.st_mtime_ns, stat.st_size)
        return found


def _no_code(folder: str, names: list[str]) -> set[str]:
    """What is not copied: what no code is in, and what is no file that can be read to an end."""
    odd = {name for name in names if (path := Path(folder, name)).exists() and not (path.is_file() or path.is_dir())}
    return _NAMES(folder, names) | odd


def reason(error: OSError) -> str:
    """Of a failed copy, the first one: copytree goes on and gathers them."""
    (source, _, why) = error.args[0][0] if isinstance(error, shutil.Error) else (error.filename, "", error.strerror)
    return f"{source}: {why}"
