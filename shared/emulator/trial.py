"""Tries whether the code can be loaded; if not, fails with file, line number and reason as its last line of output.

    python -m emulator.trial FUNCTIONS_DIR

A process of its own, because code that was loaded once is not loaded again. The server would serve a broken function as one that
answers 500; whoever writes it would rather keep the version before.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import traceback
from pathlib import Path

LOADED = "loaded"
"""The last line of a successful trial: code that ends the process with status 0 does not print it."""


_SECONDS = 60  # more than anybody waits: for a trial whose stack was killed


def main(folder: Path) -> int:
    signal.alarm(_SECONDS)
    try:
        from wpp.faas.server import is_function  # loads all of `wpp` that functions use

        for path in filter(is_function, sorted(folder.glob("*/main.py"))):
            name = path.parent.name
            if not callable(runpy.run_path(str(path), run_name=name).get(name)):
                raise TypeError(f"{path} has no function {name}")
    except BaseException as error:  # noqa: BLE001 - SystemExit too
        print(_described(error))
        return 1
    print(LOADED, flush=True)
    os._exit(0)  # exit handlers and threads of the code are not part of loading it


def _described(error: BaseException) -> str:
    message = str(getattr(error, "msg", None) or error).strip()
    reason = f"{type(error).__name__}: {message}".splitlines()[0] if message else type(error).__name__
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno} {reason}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
    where = next(
        (f"{f.filename}:{f.lineno} " for f in reversed(frames) if "main.py" in f.filename or "/wpp/" in f.filename), ""
    )
    return where + reason


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
