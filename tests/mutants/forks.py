"""What is done with the collected tests: each time in a child of the one process that has collected them.

Nothing is imported or collected again for a mutant. The process itself never runs a test, so it has no threads, no connections
and no fixtures that a child could not go on with.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from emulator.supabase.postgres.databases import SCHEMA, databases

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pytest

_MEMORY = 8 << 30  # bytes of address space: for a mutant that collects without end


class Ended(NamedTuple):
    exit_code: int
    written: str
    """By the child."""


class Child:
    """Carries out `work`, which gets what it writes with, and whose result is the exit code."""

    def __init__(self, work: Callable[[Callable[[str], object]], int], output: str = os.devnull) -> None:
        self._read, write = os.pipe()
        sys.stdout.flush()
        self.pid = os.fork()
        if not self.pid:
            _work_as_child(work, write, output)
        os.close(write)
        with suppress(ProcessLookupError, PermissionError):
            os.setpgid(self.pid, self.pid)  # here too, so that it is done before anybody ends the group

    def ended(self, status: int) -> Ended:
        with open(self._read, encoding="utf-8") as stream:  # noqa: PTH123 - a descriptor
            written = stream.read().splitlines()
        self._end_group()
        for line in written:
            if line.startswith("database "):
                databases().drop_at_once(line.removeprefix("database "))
        return Ended(os.waitstatus_to_exitcode(status), "\n".join(x for x in written if not x.startswith("database ")))

    def kill(self) -> None:
        self._end_group()
        os.waitpid(self.pid, 0)
        self.ended(0)

    def _end_group(self) -> None:
        """With whatever it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


def _work_as_child(work: Callable[[Callable[[str], object]], int], write: int, output: str) -> None:
    code = 3
    try:
        os.setpgid(0, 0)
        descriptor = os.open(output, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        for standard in (0, 1, 2):
            os.dup2(descriptor, standard)
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        _record_databases(lambda name: os.write(write, f"database {name}\n".encode()))
        code = work(lambda line: os.write(write, f"{line}\n".encode()))
    except BaseException:  # noqa: BLE001 - a child must never go on as if it were its parent
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def _record_databases(record: Callable[[str], object]) -> None:
    """A child ends without cleaning up."""
    found = databases()
    found.begin_in_child()
    create = found.create

    def recorded(ddl: str) -> Any:
        created = create(ddl)
        record(created[0])
        return created

    found.create = recorded  # type: ignore[method-assign]


def prepare() -> None:
    """What every child would otherwise do for itself: the server of PostgreSQL, and the template of the tables."""
    gc.freeze()  # a collection in a child would copy all that is shared
    databases().drop_at_once(databases().create(SCHEMA)[0])


def run(items: Sequence[pytest.Item], limits: Sequence[float], session: pytest.Session) -> str | None:
    """Until one fails: its node id. One that takes longer than its limit ends the process."""
    for item, following, limit in zip(items, [*items[1:], None], limits, strict=True):
        signal.setitimer(signal.ITIMER_REAL, limit)
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.testsfailed:
            return item.nodeid
    return None


class _Recorder:
    """Of how long a test takes, and whether it fails."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.failure = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            self.seconds = report.duration
        if report.failed:
            self.failure = report.longreprtext.strip().splitlines()[-1]


def measure(items: Sequence[pytest.Item], folder: Path, result: Path, _: object = None) -> int:
    """Runs all of them and leaves, as JSON, what each took, how it failed, and which lines of files in `folder` ran."""
    import coverage

    if not items:
        return 0
    recorder = _Recorder()
    measured: dict[str, tuple[float, str, dict[str, list[int]]]] = {}
    items[0].config.pluginmanager.register(recorder)
    lines = coverage.Coverage(data_file=None, config_file=False, include=[f"{folder}/*"], concurrency=["thread"])
    lines.start()
    for item, following in zip(items, [*items[1:], None], strict=True):
        recorder.seconds, recorder.failure = 0.0, ""
        lines.switch_context(item.nodeid)
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        measured[item.nodeid] = round(recorder.seconds, 4), recorder.failure, {}
    lines.stop()
    data = lines.get_data()
    for file in data.measured_files():
        for line, contexts in data.contexts_by_lineno(file).items():
            for node_id in filter(None, contexts):
                measured[node_id][2].setdefault(str(Path(file).relative_to(folder)), []).append(line)
    result.write_text(json.dumps(measured))
    return 0
