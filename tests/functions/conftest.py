"""The core in this process, on a clock whose long waits pass at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.advancing import Advancing, Virtual
from tests.support.intervening import Intervening
from wpp.config import config_from
from wpp.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.stack import Stack


@pytest.fixture(autouse=True)
def _answers_wait_for_what_is_done_beside_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test may look at once for what its call does beside the answer, on a busy machine too."""
    monkeypatch.setattr("wpp.runtime._PATIENCE", 20.0)


@pytest.fixture
def time() -> Advancing:
    return Advancing()


@pytest.fixture
def meanwhile() -> Intervening:
    return Intervening()


@pytest.fixture
def patient(stack: Stack, time: Advancing, meanwhile: Intervening) -> Iterator[Runtime]:
    config = config_from(stack.environment() | {"WPP_QR_WAIT_SECONDS": "1"})
    runtime = Runtime(config, clock=time.clock, transport=meanwhile)
    yield runtime
    runtime.close()


@pytest.fixture
def virtual() -> Virtual:
    return Virtual()


@pytest.fixture
def waiting(stack: Stack, virtual: Virtual, meanwhile: Intervening) -> Iterator[Runtime]:
    """The core in this process, where waiting takes no time, and nothing else takes any of it."""
    meanwhile.patience = 10.0
    runtime = Runtime(config_from(stack.environment()), clock=virtual.clock, transport=meanwhile)
    yield runtime
    runtime.close()
