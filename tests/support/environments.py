"""Empty environments: nothing is installed in them but what a deployment brings along."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def empty_environment(folder: Path, requirements: Path | None = None) -> Path:
    """The interpreter of a new environment in which only what `requirements` names is installed, not even pip."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin/python"
    if requirements:
        # By the pip of the tests: to put one into the environment takes longer than all the rest.
        pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--disable-pip-version-check"]
        environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        subprocess.run([*pip, "--require-hashes", "-r", str(requirements)], check=True, env=environ)
    return python
