"""The functions under measurement, of this tree or of another commit, and what their processes took, read from Linux's /proc."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.processes import ROOT, FunctionProcess, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_MB = 1_000_000


def sources_of(commit: str, folder: Path) -> Path:
    """The tree of a commit, as far as it is deployed. Raises SystemExit for a commit that this clone does not have."""
    folder.mkdir()
    command = ["git", "archive", commit, "shared", "functions"]
    archive = subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.PIPE)
    if archive.returncode:
        raise SystemExit(f"{commit} is not in this clone; if it is a shallow one: git fetch --unshallow")
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    return folder


def trees_of(since: Path | None) -> dict[str, Path]:
    """What is measured, by name: this tree, and the one of an earlier commit where there is one."""
    return {"now": ROOT, **({"since": since} if since else {})}


@contextmanager
def framework(source: Path, target: str, env: Mapping[str, str], tree: Path = ROOT) -> Iterator[FunctionProcess]:
    """One handler under functions-framework, ready; `tree` is where it finds the shared package."""
    port = free_port()
    arguments = ["-m", "functions_framework", "--source", str(source), "--target", target, "--port", str(port)]
    with FunctionProcess([*arguments, "--host", "127.0.0.1"], _with(env, tree), port, cwd=tree) as process:
        process.wait_until_ready()
        yield process


@contextmanager
def server(env: Mapping[str, str], tree: Path = ROOT, workers: int | None = None) -> Iterator[FunctionProcess]:
    """The product's own server, ready, with as many workers as its configuration says or `workers`."""
    port = free_port()
    config = tree / "shared/deploy/selfhosted/gunicorn.conf.py"
    arguments = ["-m", "gunicorn", "--config", str(config), "--bind", f"127.0.0.1:{port}", "--log-level", "warning"]
    if workers is not None:
        arguments += ["--workers", str(workers)]
    with FunctionProcess(arguments, _with(env, tree), port, cwd=tree) as process:
        process.wait_until_ready()
        yield process


def _with(env: Mapping[str, str], tree: Path) -> dict[str, str]:
    return {**env, "PYTHONPATH": str(tree / "shared")}


def processor_seconds(pid: int) -> float:
    """User and system time of a process and those it started, so far."""
    return sum(_own_seconds(each) for each in _family(pid))


def memory(pid: int) -> float:
    """MB that the largest of the processes holds: a worker, as gunicorn's master imports next to nothing."""
    return max(_resident(each) for each in _family(pid))


def peak_memory(pid: int) -> float:
    """MB that a process and those it started have held at most, each at its own time."""
    return sum(_peak(each) for each in _family(pid))


def _family(pid: int) -> list[int]:
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += _family(int(child))
    return found


def _own_seconds(pid: int) -> float:
    """Of all its threads that still run, in the scheduler's nanoseconds: /proc/PID/stat counts in hundredths of a second."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def _resident(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / _MB


def _peak(pid: int) -> float:
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024 / _MB
