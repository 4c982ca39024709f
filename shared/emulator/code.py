"""The code that the local stack serves: copies of the sources, each tried before it serves."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import deque
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Self

from emulator.processes import GUNICORN, ROOT
from emulator.trial import LOADED

if TYPE_CHECKING:
    from types import TracebackType

_KEPT = 5  # copies that served: workers may still answer from them, and load what they have not needed so far
_TRIAL_SECONDS = 15.0
_NAMES = shutil.ignore_patterns("__pycache__", ".*", "node_modules")


class Code:
    """A copy that was tried serves, so a save can break neither the server nor what it loads at that moment."""

    def __init__(
        self, functions: Path, wpp: Path = ROOT / "shared/wpp", *, trial_seconds: float = _TRIAL_SECONDS
    ) -> None:
        self.sources = {"functions": functions, "shared/wpp": wpp}
        self._numbers = count()
        self._temporary = tempfile.TemporaryDirectory(prefix="wpp-functions-", ignore_cleanup_errors=True)
        self.folder = Path(self._temporary.name)
        """Temporary: of the copies."""
        self._serving = self.folder / "serving"
        self._copies = re.compile(rf"{re.escape(str(self.folder))}/\w+/({'|'.join(self.sources)})")
        self._served: deque[Path] = deque()
        self._trial: subprocess.Popen[str] | None = None
        self._ended = False
        self._trial_seconds = trial_seconds
        self.server_configuration = Path(shutil.copy(GUNICORN, self.folder))

    def environment(self) -> dict[str, str]:
        """Makes a server load the serving copy when it starts or reloads."""
        return {"FUNCTIONS_DIR": f"{self._serving}/functions", "PYTHONPATH": f"{self._serving}/shared"}

    def copied(self) -> Path:
        """A copy of the code as it is now. Raises OSError, and leaves nothing behind, if not all of it can be read."""
        copy = self.folder / str(next(self._numbers))
        try:
            for name, source in self.sources.items():
                shutil.copytree(source, copy / name, ignore=_no_code, ignore_dangling_symlinks=True)
        except OSError:
            self.discard(copy)
            raise
        return copy

    def discard(self, copy: Path) -> None:
        """Removes a copy that no longer serves, or never did."""
        shutil.rmtree(copy, ignore_errors=True)

    def problem(self, copy: Path) -> str | None:
        """Why a copy cannot be loaded, in one line with file and line number; None if it can."""
        command = [sys.executable, "-m", "emulator.trial", str(copy / "functions")]
        env = os.environ | {"PYTHONPATH": str(copy / "shared"), "PYTHONDONTWRITEBYTECODE": "1"}
        if self._ended:
            return "the stack is ending"
        # In a session of its own: a Ctrl-C is not a problem of the code.
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
            output, errors = self._trial.communicate(timeout=self._trial_seconds)
        except subprocess.TimeoutExpired:
            self._end_trial()
            self._trial.communicate()
            return f"loading it takes more than {self._trial_seconds:.0f} seconds"
        lines = (output or errors).strip().splitlines() or ["it ends the process that loads it"]
        if self._trial.returncode == 0 and lines[-1] == LOADED:
            return None
        return self.with_source_paths(lines[-1])

    def end(self) -> None:
        """Ends the trial under way, and lets no further one begin."""
        self._ended = True
        self._end_trial()

    def _end_trial(self) -> None:
        if self._trial is not None:
            with suppress(ProcessLookupError):  # with what the code itself may have started
                os.killpg(self._trial.pid, signal.SIGKILL)

    def serve(self, copy: Path) -> None:
        """Has the next server or worker load this copy."""
        new = self.folder / "new"
        new.symlink_to(copy)
        new.replace(self._serving)
        self._served.append(copy)
        if len(self._served) > _KEPT:
            self.discard(self._served.popleft())

    def with_source_paths(self, text: str) -> str:
        """`text` with the paths of the sources in the place of the copy's."""
        return self._copies.sub(lambda match: str(self.sources[match[1]]), text).replace(f"{ROOT}/", "")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._temporary.cleanup()


def _no_code(folder: str, names: list[str]) -> set[str]:
    """What is not copied: folders without code, and pipes and the like, which have no end."""
    odd = {name for name in names if (path := Path(folder, name)).exists() and not (path.is_file() or path.is_dir())}
    return _NAMES(folder, names) | odd


def reason(error: OSError) -> str:
    """Why a file could not be read; of a failed copytree, which goes on and gathers them, the first one."""
    (source, _, why) = error.args[0][0] if isinstance(error, shutil.Error) else (error.filename, "", error.strerror)
    return f"{source}: {why}"
