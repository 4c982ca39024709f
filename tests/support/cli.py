"""`python -m wpp` as an operator or a script runs it: a process, its output, its exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emulator.stack import Stack

DONE, FAILED, USAGE, NOT_THERE, TRY_AGAIN, LEFT, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130


def environment(stack: Stack, **env: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"]} | stack.environment() | env


def run(stack: Stack, *arguments: str, given: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "wpp", *arguments]
    clean = environment(stack, **env)
    return subprocess.run(command, input=given, capture_output=True, text=True, timeout=30, env=clean, check=False)
