"""Which test runs which lines, and how long it takes: measured once, and again for what has changed."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from emulator.processes import ROOT
from tests.mutants.generated import FOLDER, MODULES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

_FILE = FOLDER / "tests.json"
_SLOWEST = 1.0  # seconds: these are a twentieth of the tests and take half of the time of all


class Test(NamedTuple):
    """One test as it was measured."""

    node_id: str
    seconds: float
    lines: Mapping[str, list[int]]
    """What it runs of each mutated file."""
    version: str = ""
    """Another one where the test may have changed."""

    @property
    def file(self) -> str:
        return self.node_id.partition("::")[0]


class Tests:
    """All that were measured."""

    def __init__(self, node_ids: Iterable[str], measure: Callable[[list[str]], list[Test]]) -> None:
        selected = list(node_ids)
        self._hashes = {file: _hash_of(file) for file in {node_id.partition("::")[0] for node_id in selected}}
        self._shared, self._code = _shared_hash(), _code_hashes()  # as they are before anything is measured
        self._tests = self._known(set(selected))
        missing = [node_id for node_id in selected if node_id not in self._tests]
        if missing:
            self._tests |= {test.node_id: test for test in measure(missing)}
            self._save()
        self._running: dict[tuple[str, int], list[Test]] = {}
        for test in self._in_order():
            for file, lines in test.lines.items():
                for line in lines:
                    self._running.setdefault((file, line), []).append(test)

    def running(self, file: str, lines: Iterable[int]) -> list[Test]:
        """Those that run one of these lines, in the order in which they are worth trying."""
        found = {test.node_id: test for line in lines for test in self._running.get((file, line), [])}
        return [test for test in self._ordered if test.node_id in found]

    def _in_order(self) -> list[Test]:
        """Each function of tests once, the fastest first; then each with its second parameters, and so on."""
        count: Counter[str] = Counter()
        order = []
        for test in sorted(self._tests.values(), key=lambda test: test.seconds):
            if test.seconds <= _SLOWEST:
                function = test.node_id.partition("[")[0]
                order.append((count[function], test.seconds, test.node_id))
                count[function] += 1
        self._ordered = [self._with_version(self._tests[node_id]) for _, _, node_id in sorted(order)]
        return self._ordered

    def _with_version(self, test: Test) -> Test:
        text = f"{test.node_id} {self._hashes[test.file]}"
        return test._replace(version=hashlib.sha256(text.encode()).hexdigest()[:8])

    def too_slow(self) -> int:
        return sum(test.seconds > _SLOWEST for test in self._tests.values())

    def _known(self, selected: set[str]) -> dict[str, Test]:
        """Of the last run, where nothing has changed that matters."""
        if not _FILE.exists():
            return {}
        kept: dict[str, Any] = json.loads(_FILE.read_text())
        if kept["shared"] != self._shared:
            return {}
        changed = {file for file, digest in kept["code"].items() if self._code.get(file) != digest}
        tests = (Test(name, seconds, lines) for name, (seconds, lines) in kept["tests"].items() if name in selected)
        return {
            test.node_id: test
            for test in tests
            if kept["hashes"].get(test.file) == self._hashes[test.file] and not changed & test.lines.keys()
        }

    def _save(self) -> None:
        tests = {test.node_id: [test.seconds, test.lines] for test in self._tests.values()}
        kept = {"shared": self._shared, "code": self._code, "hashes": self._hashes, "tests": tests}
        _FILE.write_text(json.dumps(kept))


def _hash_of(file: str) -> str:
    """Of a file of tests and all that tests share."""
    return _digest([*_shared_by_tests(), ROOT / file])


def _code_hashes() -> dict[str, str]:
    """Of what is mutated: a test that runs none of a file's lines has nothing to do with a change there."""
    shared = ROOT / "shared"
    files = (path for module in MODULES for path in (shared / "wpp" / module).glob("*.py"))
    return {str(path.relative_to(shared)): _digest([path]) for path in files}


def _shared_hash() -> str:
    """What any test may run: a change there may lead it over other lines."""
    mutated = {ROOT / "shared" / file for file in _code_hashes()}
    return _digest([*_shared_by_tests(), *sorted({*(ROOT / "shared/wpp").rglob("*.py")} - mutated)])


def _shared_by_tests() -> list[Path]:
    support = [*(ROOT / "tests/support").rglob("*.py"), *(ROOT / "tests").rglob("conftest.py")]
    return sorted([*support, *(ROOT / "shared/emulator").rglob("*.py"), *(ROOT / "functions").rglob("*.py")])


def _digest(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
