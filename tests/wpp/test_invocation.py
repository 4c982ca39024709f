"""What one invocation works with."""

from __future__ import annotations

import threading
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

from wpp.clock import Clock
from wpp.config import config_from
from wpp.http import upstream
from wpp.runtime import Runtime

if TYPE_CHECKING:
    import pytest

    from emulator.stack import Stack


def test_all_that_only_helps_delays_the_answer_by_half_a_second_together(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds, waits = [0.0], []
    ended = threading.Event()

    def wait(_: Any, timeout: float) -> None:
        waits.append(timeout)
        seconds[0] += timeout

    monkeypatch.setattr(upstream, "wait", wait)
    with closing(Runtime(config_from(stack.environment()), Clock(monotonic=lambda: seconds[0]))) as runtime:
        invocation = runtime.begin("wpp-create", "request")
        with ExitStack() as beside:
            for _ in range(3):
                beside.enter_context(invocation.alongside_briefly(ended.wait))
            seconds[0] += 2  # what the answer needs in any case
        ended.set()
    assert waits == [0.5, 0.0, 0.0]
