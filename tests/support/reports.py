"""Lines that tests add to the end of the run's report."""

from __future__ import annotations

import pytest

MATRIX = pytest.StashKey[str]()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if MATRIX in config.stash:
        terminalreporter.write_line(config.stash[MATRIX])
