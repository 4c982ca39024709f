"""Whether the code can be loaded: prints as its last line file, line number and reason where it cannot, and fails.

    python -m emulator.trial FUNCTIONS_DIR

In a process of its own, as code that was loaded once is not loaded anew. The server itself would serve a broken function as one
that answers 500; whoever is writing it would rather keep the one before.
"""

from __future__ import annotations

import os
import runpy
import sys
import traceback
from pathlib import Path

LOADED = "loaded"
"""The last line where all is well: code that ends the process says less."""


def main(folder: Path) -> int:
    try:
        from wpp.faas.server import is_function  # it brings all of `wpp` along that functions use

        for path in filter(is_function, sorted(folder.glob("*/main.py"))):
            name = path.parent.name
            if not callable(runpy.run_path(str(path), run_name=name).get(name)):
                raise TypeError(f"{path} has no function {name}")
    except BaseException as error:  # noqa: BLE001 - SystemExit too
        print(_described(error))
        return 1
    print(LOADED, flush=True)
    os._exit(0)  # what the code does at its end, or goes on doing beside, is no part of loading it


def _described(error: BaseException) -> str:
    said = str(getattr(error, "msg", None) or error).strip()
    reason = f"{type(error).__name__}: {said}".splitlines()[0] if said else type(error).__name__
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno} {reason}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
    where = next(
        (f"{f.filename}:{f.lineno} " for f in reversed(frames) if "main.py" in f.filename or "/wpp/" in f.filename), ""
    )
    return where + reason


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
