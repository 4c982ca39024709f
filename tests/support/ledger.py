"""What tests add to the end of the run's report: the attacks by kind, and single lines.

Both travel as properties of the tests' reports, so it does not matter which process ran a test.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ATTACK, _LINE = "attack", "line"


class _Counts(NamedTuple):
    tried: int = 0
    refused: int = 0
    reached: int = 0

    def plus(self, refused: int, reached: int) -> _Counts:
        return _Counts(self.tried + 1, self.refused + refused, self.reached + reached)


@dataclass(frozen=True)
class Ledger:
    """Attacks by kind: how many were tried, how many of them refused, and how many calls they caused upstream."""

    _record: Callable[[str, object], None]

    def note(self, kind: str, *, refused: bool, reached: int) -> None:
        self._record(_ATTACK, (kind, refused, reached))

    def line(self, text: str) -> None:
        self._record(_LINE, text)


@pytest.fixture
def ledger(record_property: Callable[[str, object], None]) -> Ledger:
    return Ledger(record_property)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    recorded = list(_recorded(terminalreporter))
    kinds: defaultdict[str, _Counts] = defaultdict(_Counts)
    for name, value in recorded:
        if name == _LINE:
            terminalreporter.write_line(str(value))
        elif name == _ATTACK:
            kind, refused, reached = value
            kinds[kind], kinds["all"] = kinds[kind].plus(refused, reached), kinds["all"].plus(refused, reached)
    if kinds:
        terminalreporter.section("attacks on the running functions")
        terminalreporter.write_line(f"{'attack':<44}{'tried':>8}{'refused':>9}{'reached upstream':>18}")
        for kind in [*sorted(kinds.keys() - {"all"}), "all"]:
            counts = kinds[kind]
            terminalreporter.write_line(f"{kind:<44}{counts.tried:>8}{counts.refused:>9}{counts.reached:>18}")


def _recorded(reporter: pytest.TerminalReporter) -> Iterator[tuple[str, Any]]:
    for outcome in ("passed", "failed"):
        for report in reporter.getreports(outcome):
            yield from report.user_properties
