"""Whether the code can be loaded: prints one line with file, line number and reason where it cannot, and fails.

    python -m tests.emulator.trial FUNCTIONS_DIR

In a process of its own, as code that was loaded once is not loaded anew. The server itself would serve a broken function as one
that answers 500; whoever is writing it would rather keep the one before.
"""

from __future__ import annotations

import runpy
import sys
import traceback
from pathlib import Path


def main(folder: Path) -> int:
    try:
        import wpp.faas.server  # noqa: F401 - it brings all of `wpp` along that functions use

        for path in sorted(folder.glob("[a-z]*/main.py")):
            name = path.parent.name
            if not callable(runpy.run_path(str(path), run_name=name).get(name)):
                raise TypeError(f"{path} has no function {name}")
    except BaseException as error:  # noqa: BLE001 - SystemExit too
        print(_described(error))
        return 1
    return 0


def _described(error: BaseException) -> str:
    reason = f"{type(error).__name__}: {getattr(error, 'msg', None) or error}".splitlines()[0]
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno} {reason}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
    where = next(
        (f"{f.filename}:{f.lineno} " for f in reversed(frames) if "main.py" in f.filename or "/wpp/" in f.filename), ""
    )
    return where + reason


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
