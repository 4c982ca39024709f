"""Has the functions' server take up changed code, if it can be loaded, and starts a server that ended again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from emulator.code import reason
from emulator.processes import ROOT
from emulator.terminal import complain, say, styled

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.code import Code
    from emulator.processes import FunctionProcess
    from emulator.watcher import Watcher

_LONGEST_PAUSE = 60.0  # seconds


class Reloader:
    """Prints what it does. Code that cannot be loaded is one line, and the code before it goes on serving."""

    def __init__(self, watcher: Watcher, code: Code, server: FunctionProcess) -> None:
        self._watcher = watcher
        self._code = code
        self._server = server
        self._reported: str | None = None
        self._restarts = 0
        """Since the last reload: a server that ends again and again is started less and less often."""
        self._next_restart = 0.0  # on the monotonic clock

    def start(self) -> None:
        self._watcher.start(self._reload, self._restart_if_ended)

    def _reload(self, paths: list[Path]) -> bool:
        """Whether the change could be read at all; if not, it is tried again."""
        try:
            copy = self._code.copied()
        except OSError as error:
            self._report(f"the code cannot be read: {reason(error)}")
            return False
        self._reported = None
        problem = self._code.problem(copy)
        if problem:
            self._code.discard(copy)
            self._report(problem)
            return True
        self._code.serve(copy)
        self._restarts, self._next_restart = 0, 0.0
        if not self._server.ended:  # otherwise it is started again, with this copy
            self._server.reload()
        names = ", ".join(str(path).replace(f"{ROOT}/", "") for path in paths[:3])
        say(styled(f"reloaded: {names}", "cyan"))
        return True

    def _report(self, problem: str) -> None:
        """Once, however often it is met."""
        if not self._watcher.stopped and problem != self._reported:
            complain(f"{problem} (the code before it goes on serving)")
        self._reported = problem

    def _restart_if_ended(self) -> None:
        if not self._server.ended or self._watcher.stopped or time.monotonic() < self._next_restart:
            return
        self._next_restart = time.monotonic() + min(2.0**self._restarts, _LONGEST_PAUSE)
        self._restarts += 1
        self._server.start_again()
        say(styled("the functions' server had ended; started again", "cyan"))
