"""What every deployment is made of: the functions, the shared package with its version baked in, pinned requirements."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Sequence

ROOT = Path(__file__).resolve().parents[2]
FUNCTIONS = ROOT / "functions"
PACKAGE = ROOT / "shared/wpp"
DIST = ROOT / "dist"

_ENTRY = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==", re.MULTILINE)
_VIA = re.compile(r"^ +# via *(.*)$|^ +#   ([^ ].*)$", re.MULTILINE)
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", "_build.py", ".*")


def function_names() -> list[str]:
    """The folders of `functions/` that hold a function, `wpp_create` for example."""
    return sorted(path.parent.name for path in FUNCTIONS.glob("[a-z]*/main.py"))


def version() -> str:
    """What git calls this state. With changes that are not committed, their digest too: two such states are told apart."""
    described = _git("describe", "--always")
    if described is None:
        return f"no-git-{_digest()}"
    # It becomes a file's name and a word of a command line: a tag may hold anything.
    name = re.sub(r"[^A-Za-z0-9._-]", "-", described)
    return f"{name}-dirty-{_digest()}" if _git("status", "--porcelain") else name


def _git(*arguments: str) -> str | None:
    answer = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)
    return answer.stdout.strip() if answer.returncode == 0 else None


def empty_folder(path: Path) -> Path:
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def copy_package(destination: Path) -> None:
    """`wpp` into `destination`, with the version that `GET` answers."""
    shutil.copytree(PACKAGE, destination / "wpp", ignore=_LEFT_OUT)
    build = f'"""Made by the build."""\n\nVERSION = "{version()}"\n'
    (destination / "wpp/_build.py").write_text(build, encoding="utf-8")


def copy_function(name: str, destination: Path) -> None:
    """All files of the function straight into `destination`, which may be there already."""
    shutil.copytree(FUNCTIONS / name, destination, ignore=_LEFT_OUT, dirs_exist_ok=True)


def requirements(roots: Iterable[str], *, leave_out: Container[str] = ()) -> str:
    """The part of requirements.lock, hashes included, that `roots` need. Raises KeyError for what is not in there.

    The lock says of each package which others asked for it. It holds for every platform, so what is made of it does too.
    """
    entries = dict(_entries((ROOT / "requirements.lock").read_text(encoding="utf-8")))
    needed: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name not in entries:
            raise KeyError(f"{name} is not in requirements.lock: add it to pyproject.toml and run `make lock`")
        if name not in needed and name not in leave_out:
            needed.add(name)
            waiting += [other for other, text in entries.items() if name in _asked_for_by(text)]
    return "".join(entries[name] for name in sorted(needed))


def install(pinned: Path, folder: Path, python: str, platforms: Sequence[str]) -> None:
    """The wheels that `pinned` names, and nothing else, into `folder`: for that Python ("3.13") on those platforms."""
    command = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-compile", "--no-deps"]
    command += ["--require-hashes", "--only-binary=:all:", "--implementation=cp", f"--python-version={python}"]
    command += [*(f"--platform={name}" for name in platforms), f"--target={folder}", "-r", str(pinned)]
    if subprocess.run(command, check=False).returncode:
        raise SystemExit(f"pip could not install {pinned}: what it says is above")


def _entries(lock: str) -> Iterator[tuple[str, str]]:
    starts = list(_ENTRY.finditer(lock))
    for start, following in zip(starts, [*starts[1:], None], strict=True):
        yield start[1], lock[start.start() : following.start() if following else len(lock)]


def _asked_for_by(entry: str) -> set[str]:
    return {(on_one_line or on_its_own).strip() for on_one_line, on_its_own in _VIA.findall(entry)}


def _digest() -> str:
    files = [path for folder in (FUNCTIONS, PACKAGE, ROOT / "shared/deploy") for path in folder.rglob("*")]
    digest = hashlib.sha256((ROOT / "requirements.lock").read_bytes())
    for path in sorted(files):
        if path.is_file() and "__pycache__" not in path.parts and path.name != "_build.py":
            digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:8]
