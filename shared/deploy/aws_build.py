"""AWS Lambda: one zip per function with all that it imports, the same bytes from the same commit.

    python -m deploy.aws_build     →  dist/wpp_create.zip, dist/wpp_provision.zip, dist/wpp-functions.cdx.json

For whom: PYTHON_VERSION (3.13) and ARCH (arm64 or x86_64). From wheels only, so any machine can build for any other.

Lambda's folder is read-only, so Python can keep nothing of what it compiles there: without the .pyc files of a build every
cold start compiles each module again (`make bench-start` shows what that costs). They are made by the Python of that version:
BUILD_PYTHON, or `python3.13` on the PATH.
"""

from __future__ import annotations

import json
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
from deploy.sbom import bill_of_materials

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# boto3 comes with Lambda's runtime.
_ROOTS = ["requests", "python-jose"]
# python-jose asks for them, and imports none of them where `cryptography` is installed; pycparser is for building cffi.
NOT_SHIPPED = {"ecdsa", "rsa", "pyasn1", "six", "pycparser"}
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
    """The Python of that version that makes the .pyc files; None where there is none."""


def this_machine() -> str:
    """What Lambda calls the processor of this machine."""
    return next((arch for arch, name in _MACHINES.items() if name == platform.machine()), platform.machine())


def target_from(env: Mapping[str, str]) -> Target:
    """Raises SystemExit that says what is wrong."""
    python = env.get("PYTHON_VERSION", "").strip() or "3.13"
    arch = env.get("ARCH", "").strip() or "arm64"
    if not re.fullmatch(r"3\.\d\d", python):
        raise SystemExit(f"PYTHON_VERSION must be like 3.13, not {python}")
    if arch not in _MACHINES:
        raise SystemExit(f"ARCH must be arm64 or x86_64, not {arch}")
    asked = env.get("BUILD_PYTHON", "").strip()
    compiler = next((c for c in ([asked] if asked else [f"python{python}", sys.executable]) if _is(c, python)), None)
    if asked and compiler is None:
        raise SystemExit(f"BUILD_PYTHON must be a Python {python}; {asked} is none")
    return Target(python, arch, compiler)


def _is(command: str, version: str) -> bool:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        said = subprocess.run([command, "-c", code], capture_output=True, text=True, check=False).stdout
    except OSError:
        return False
    return said.strip() == version


def build(target: Target, dist: Path = bundle.DIST) -> list[Path]:
    """Makes the zips and the bill of materials; returns the zips."""
    packages = bundle.empty_folder(dist / "aws/packages")
    _install(packages, target)
    compile_all(packages, packages, target.compiler)
    zips = []
    for name in bundle.function_names():
        folder = bundle.empty_folder(dist / "aws" / name)
        shutil.copytree(packages, folder, dirs_exist_ok=True)
        bundle.copy_function(name, folder)
        bundle.copy_package(folder)
        for own in (folder / "main.py", folder / "wpp"):
            compile_all(own, folder, target.compiler)
        zips.append(_zip(folder, dist / f"{name}.zip"))
    lock = bundle.requirements(_ROOTS)
    bill = bill_of_materials(lock, bundle.version(), leave_out=NOT_SHIPPED)
    (dist / "wpp-functions.cdx.json").write_text(json.dumps(bill, indent=2), encoding="utf-8")
    return zips


def _install(folder: Path, target: Target) -> None:
    pinned = folder.with_name("requirements.txt")
    pinned.write_text(bundle.requirements(_ROOTS, leave_out=NOT_SHIPPED), encoding="utf-8")
    newest = _GLIBC if int(target.python.removeprefix("3.")) > 11 else _OLD_GLIBC
    machine = _MACHINES[target.arch]
    platforms = [f"manylinux_2_{glibc}_{machine}" for glibc in range(newest, 16, -1)] + [f"manylinux2014_{machine}"]
    bundle.install(pinned, folder, target.python, platforms)
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.name in _LEFT_OUT:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def compile_all(path: Path, root: Path, python: str | None) -> None:
    """Unchecked: Python neither stats nor reads the source. Hash seed and paths are fixed, as both get into the bytes."""
    if python:
        options = ["-q", "-f", "--invalidation-mode", "unchecked-hash", "-s", str(root), "-p", _TASK_ROOT]
        command = [python, "-m", "compileall", *options, str(path)]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": "0"})


def _zip(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                entry = zipfile.ZipInfo(file.relative_to(folder).as_posix(), _EPOCH)
                entry.external_attr = (0o755 if file.suffix == ".so" else 0o644) << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, file.read_bytes(), compresslevel=6)
    return path


def main() -> None:
    target = target_from(os.environ)
    for path in build(target):
        size = path.stat().st_size / 1e6
        print(f"{path.relative_to(bundle.ROOT)}  {size:.1f} MB  {bundle.version()}")
    print(f"for Python {target.python} on {target.arch}")
    if target.compiler is None:
        print(
            f"without .pyc files, so cold starts are slower: no Python {target.python} is here to make them. "
            f"Install it, or say where it is: make build BUILD_PYTHON=/path/to/python{target.python}"
        )


if __name__ == "__main__":
    main()
