"""AWS Lambda: one zip per function with all that it imports, the same bytes from the same commit.

    python -m deploy.aws_build     →  dist/wpp_create.zip, likewise for the others, and dist/wpp-functions.cdx.json

PYTHON_VERSION (3.13) and ARCH (arm64 or x86_64) name the target. Only wheels are used, so any machine can build for any other.

Lambda's folder is read-only, so Python cannot store what it compiles there: without .pyc files in the zip every cold start
compiles each module again (`make bench-start` shows what that costs). A Python of the target's version compiles them:
BUILD_PYTHON, or `python3.13` on the PATH.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy import bundle

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_MACHINES = {"arm64": "aarch64", "x86_64": "x86_64"}
# The C library of the runtime's image: Amazon Linux 2 up to Python 3.11, Amazon Linux 2023 from then on.
_OLD_GLIBC, _GLIBC = 26, 34
_TASK_ROOT = "/var/task"
_LEFT_OUT = ("bin", "__pycache__", "RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can hold


@dataclass(frozen=True)
class Target:
    python: str
    """The minor version, `3.13`."""
    arch: str
    """As Lambda calls it: arm64 or x86_64."""
    compiler: str | None
    """The command of a Python of that version, for the .pyc files. None if there is no such Python here."""


def this_machine() -> str:
    """What Lambda calls the processor of this machine."""
    return next((arch for arch, name in _MACHINES.items() if name == platform.machine()), platform.machine())


def target_from(env: Mapping[str, str]) -> Target:
    """Reads PYTHON_VERSION, ARCH and BUILD_PYTHON. Raises SystemExit with what is wrong."""
    python = env.get("PYTHON_VERSION", "").strip() or "3.13"
    arch = env.get("ARCH", "").strip() or "arm64"
    if not re.fullmatch(r"3\.\d\d", python):
        raise SystemExit(f"PYTHON_VERSION must be like 3.13, not {python}")
    if arch not in _MACHINES:
        raise SystemExit(f"ARCH must be arm64 or x86_64, not {arch}")
    given = env.get("BUILD_PYTHON", "").strip()
    compiler = next((c for c in ([given] if given else [f"python{python}", sys.executable]) if _is(c, python)), None)
    if given and compiler is None:
        raise SystemExit(f"BUILD_PYTHON must be a Python {python}, not {given}")
    return Target(python, arch, compiler)


def _is(command: str, version: str) -> bool:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        found = subprocess.run([command, "-c", code], capture_output=True, text=True, check=False).stdout
    except OSError:
        return False
    return found.strip() == version


def build(target: Target, dist: Path = bundle.DIST) -> list[Path]:
    """Writes the zips and the bill of materials into `dist`; returns the zips."""
    packages = bundle.empty_folder(dist / "aws/packages")
    install(packages, target)
    compile_all(packages, packages, target.compiler)
    # Packed once for all functions: each zip is a copy of it, to which the function's own code is added.
    packed = dist / "aws/packages.zip"
    packed.unlink(missing_ok=True)
    _add(packages, packed)
    zips = []
    for name in bundle.function_names():
        folder = bundle.empty_folder(dist / "aws" / name)
        bundle.copy_function(name, folder)
        bundle.copy_package(folder)
        compile_all(folder, folder, target.compiler)
        zips.append(dist / f"{name}.zip")
        shutil.copy(packed, zips[-1])
        _add(folder, zips[-1])
    _bill_of_materials(dist / "wpp-functions.cdx.json", bundle.empty_folder(dist / "aws/project"))
    return zips


def _bill_of_materials(path: Path, folder: Path) -> None:
    """CycloneDX, as `cyclonedx-py` writes it from the lock: no time and no random number, so the same bytes each time."""
    project = folder / "pyproject.toml"
    project.write_text(f'[project]\nname = "wpp-functions"\nversion = "{bundle.version()}"\n', encoding="utf-8")
    # It warns that a lock does not name the direct dependencies.
    command = [sys.executable, "-W", "ignore", "-m", "cyclonedx_py", "requirements", "--output-reproducible"]
    # A test validates what is written; here it would take ten times as long as the rest.
    command += ["--no-validate", "--spec-version", "1.6", "--pyproject", str(project), "--output-file", str(path)]
    if subprocess.run([*command, str(bundle.lock("aws"))], check=False).returncode:
        raise SystemExit("the bill of materials was not written; the error is above")


def install(folder: Path, target: Target) -> None:
    """Installs what a function imports into `folder`, as Lambda's Python of that version and processor needs it."""
    newest = _GLIBC if int(target.python.removeprefix("3.")) > 11 else _OLD_GLIBC
    machine = _MACHINES[target.arch]
    platforms = [f"manylinux_2_{glibc}_{machine}" for glibc in range(newest, 16, -1)] + [f"manylinux2014_{machine}"]
    bundle.install(bundle.lock("aws"), folder, target.python, platforms)
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.name in _LEFT_OUT:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def compile_all(path: Path, root: Path, python: str | None) -> None:
    """Compiles to .pyc files that Python loads without looking at the source (PEP 552, "unchecked").

    Hash seed and paths are fixed, as both get into the bytes.
    """
    if python:
        options = ["-q", "-f", "--invalidation-mode", "unchecked-hash", "-s", str(root), "-p", _TASK_ROOT]
        command = [python, "-m", "compileall", *options, str(path)]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": "0"})


def _add(folder: Path, path: Path) -> None:
    """Adds what is in `folder` to the zip at `path`."""
    with zipfile.ZipFile(path, "a") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                entry = zipfile.ZipInfo(file.relative_to(folder).as_posix(), _EPOCH)
                entry.external_attr = (0o755 if file.suffix == ".so" else 0o644) << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, file.read_bytes(), compresslevel=6)


def main() -> None:
    target = target_from(os.environ)
    for path in build(target):
        size = path.stat().st_size / 1e6
        print(f"{path.relative_to(bundle.ROOT)}  {size:.1f} MB  {bundle.version()}")
    print(f"for Python {target.python} on {target.arch}")
    if target.compiler is None:
        print(
            f"without .pyc files, so cold starts are slower: they need a Python {target.python} here. "
            f"Install it, or name it: make build BUILD_PYTHON=/path/to/python{target.python}"
        )


if __name__ == "__main__":
    main()
