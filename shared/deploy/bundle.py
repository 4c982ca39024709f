"""What every deployment consists of: the functions, the shared package with its version baked in, locked requirements."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[2]
FUNCTIONS = ROOT / "functions"
PACKAGE = ROOT / "shared/wpp"
DIST = ROOT / "dist"

_LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", "_build.py", ".*")


def function_names(folder: Path = FUNCTIONS) -> list[str]:
    """The folders of `functions/` that hold a function, `wpp_create` for example."""
    names = (path.parent.name for path in folder.glob("*/main.py"))
    return sorted(name for name in names if re.fullmatch(r"[a-z][a-z0-9_]*", name))


def address(name: str) -> str:
    """The name of the function as in its URL, `wpp-create` for example."""
    return name.replace("_", "-")


def version() -> str:
    """What git calls this state, and a digest where changes are not committed: two such states have different names."""
    # A tag without a message counts too: as such GitHub Actions may check out any tag.
    described = _git("describe", "--always", "--tags")
    if described is None:
        return f"no-git-{_digest()}"
    # It becomes a file name and a word of a command line, and a tag may hold anything.
    name = re.sub(r"[^A-Za-z0-9._-]", "-", described)
    return f"{name}-dirty-{_digest()}" if _git("status", "--porcelain") else name


def _git(*arguments: str) -> str | None:
    run = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)
    return run.stdout.strip() if run.returncode == 0 else None


def empty_folder(path: Path) -> Path:
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def copy_package(destination: Path) -> None:
    """Copies `wpp` into `destination`, with the version that `GET` answers."""
    shutil.copytree(PACKAGE, destination / "wpp", ignore=_LEFT_OUT)
    build = f'"""Written by the build."""\n\nVERSION = "{version()}"\n'
    (destination / "wpp/_build.py").write_text(build, encoding="utf-8")


def copy_function(name: str, destination: Path) -> None:
    """Copies all files of the function straight into `destination`, which may exist already."""
    shutil.copytree(FUNCTIONS / name, destination, ignore=_LEFT_OUT, dirs_exist_ok=True)


def lock(target: str) -> Path:
    """The packages that ship to `target` (`aws`, `gcf` or `server`): exact versions with hashes, for every platform."""
    return ROOT / f"requirements-{target}.lock"


def install(locked: Path, folder: Path, python: str, platforms: Sequence[str]) -> None:
    """Installs the wheels that `locked` names, and nothing else, into `folder`: for that Python ("3.13") on those platforms."""
    command = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-compile", "--no-deps"]
    command += ["--require-hashes", "--only-binary=:all:", "--implementation=cp", f"--python-version={python}"]
    command += [*(f"--platform={name}" for name in platforms), f"--target={folder}", "-r", str(locked)]
    if subprocess.run(command, check=False).returncode:
        raise SystemExit(f"pip could not install {locked.name}; its error is above")


def _digest() -> str:
    files = [path for folder in (FUNCTIONS, PACKAGE, ROOT / "shared/deploy") for path in folder.rglob("*")]
    digest = hashlib.sha256()
    for path in sorted([*files, *ROOT.glob("requirements*.lock")]):
        if path.is_file() and "__pycache__" not in path.parts and path.name != "_build.py":
            digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:8]
