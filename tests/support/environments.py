"""Empty environments: nothing is installed in them but what a deployment brings along."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def empty_environment(folder: Path, requirements: Path | None = None) -> Path:
    """The interpreter of a new environment, with only what the file with requirements names; without one, not even pip."""
    without = [] if requirements else ["--without-pip"]
    subprocess.run([sys.executable, "-m", "venv", *without, str(folder)], check=True)
    python = folder / "bin/python"
    if requirements:
        install = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "--require-hashes", "-r"]
        environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        subprocess.run([str(python), *install, str(requirements)], check=True, env=environ)
    return python
