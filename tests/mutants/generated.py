"""The mutants as mutmut generates them, and what became of each: a working folder that is no part of the repository.

.mutants/src          a link to `shared`: mutmut knows the root of a package only under this name
.mutants/mutants/src  the same code with all its mutants, and mutmut's notes beside each file
"""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import contextmanager, redirect_stdout
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from emulator.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mutmut.mutation.data import SourceFileMutationData

FOLDER = ROOT / ".mutants"
MODULES = ("provisioning", "supabase", "platform", "http", "faas")
"""The packages of `wpp` that are mutated."""
KILLED, SURVIVED, NO_TESTS, TIMED_OUT = 1, 0, 33, 36
"""mutmut's own exit codes, which it keeps for each mutant; None for one that is unchecked."""
_CONFIGURATION = f"""\
# mutmut {version("mutmut")}: mutants are known by numbers, which another version may give to others.
[tool.mutmut]
source_paths = ["src/wpp"]
only_mutate = {[f"src/wpp/{module}/*.py" for module in MODULES]}
"""


class Mutant(NamedTuple):
    name: str
    """wpp.http.trace.xǁTraceǁelapsed__mutmut_3"""
    file: SourceFileMutationData

    @property
    def function(self) -> str:
        """As mutmut calls it: wpp.http.trace.xǁTraceǁelapsed"""
        return self.name.partition("__mutmut_")[0]

    @property
    def shown_function(self) -> str:
        """wpp.http.trace.Trace.elapsed"""
        module, _, name = self.function.rpartition(".")
        return (
            f"{module}.{name.removeprefix('x').removeprefix('_' if name.startswith('x_') else 'ǁ').replace('ǁ', '.')}"
        )

    @property
    def module(self) -> str:
        """http.trace"""
        return ".".join(self.name.split(".")[1:3])

    @property
    def exit_code(self) -> int | None:
        code: int | None = self.file.exit_code_by_key[self.name]
        return code

    @property
    def path(self) -> str:
        """wpp/http/trace.py"""
        return str(Path(self.file.path).relative_to("src"))

    def keep(self, exit_code: int | None) -> None:
        self.file.exit_code_by_key[self.name] = exit_code
        self.file.save()

    def difference(self) -> list[str]:
        """The lines that differ, with - and +."""
        from mutmut.mutation.diff_apply import get_diff_for_mutant

        with _in_folder():
            lines: list[str] = get_diff_for_mutant(self.name, path=self.file.path).splitlines()
        return [line for line in lines if line.startswith(("-", "+")) and not line.startswith(("---", "+++"))]


def generate(jobs: int) -> None:
    """Mutates the files that have changed. The verdicts on functions that are as they were are kept."""
    _prepare()
    from mutmut.__main__ import create_mutants
    from mutmut.utils.file_utils import copy_src_dir

    with _in_folder(), redirect_stdout(StringIO()):
        copy_src_dir()
        create_mutants(jobs)
    sys.path.insert(0, str(FOLDER / "mutants/src"))
    import wpp

    assert Path(str(wpp.__file__)).is_relative_to(FOLDER), "wpp was imported before its mutants were"


def mutants(module: str | None = None) -> list[Mutant]:
    """All, or those of a package or a module: "http", "http.trace"."""
    _prepare()
    from mutmut.mutation.data import SourceFileMutationData
    from mutmut.utils.file_utils import walk_mutatable_files

    found = []
    with _in_folder():
        for path in sorted(walk_mutatable_files()):
            file = SourceFileMutationData(path=path)
            file.load()
            file.meta_path = file.meta_path.absolute()
            found += [Mutant(name, file) for name in file.exit_code_by_key]
    return [one for one in found if module is None or f"{one.module}.".startswith(f"{module}.")]


def _prepare() -> None:
    configuration = FOLDER / "pyproject.toml"
    if not configuration.exists() or configuration.read_text() != _CONFIGURATION:
        shutil.rmtree(FOLDER, ignore_errors=True)
        (FOLDER / "mutants").mkdir(parents=True)
        (FOLDER / "src").symlink_to(ROOT / "shared")
        configuration.write_text(_CONFIGURATION)
    for copy in (FOLDER / "mutants/src").rglob("*.py"):
        if not (FOLDER / "src" / copy.relative_to(FOLDER / "mutants/src")).exists():
            copy.unlink()
    from mutmut.configuration import config

    with _in_folder():
        config()  # reads it, once for this process


@contextmanager
def _in_folder() -> Iterator[None]:
    """mutmut takes all its paths from the current folder."""
    before = Path.cwd()
    os.chdir(FOLDER)
    try:
        yield
    finally:
        os.chdir(before)
