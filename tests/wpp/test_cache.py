"""What a process remembers and shares."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from wpp.cache import Present, Recent, Shared
from wpp.clock import Clock


def test_the_least_recently_used_is_forgotten_first() -> None:
    recent: Recent[int] = Recent(2)
    recent.put("a", 1)
    recent.put("b", 2)
    assert recent.get("a") == 1
    recent.put("c", 3)
    assert (recent.get("a"), recent.get("b"), recent.get("c")) == (1, None, 3)
    assert recent.setdefault("a", 5) == 1
    assert recent.setdefault("d", 5) == 5


def test_those_who_ask_at_the_same_time_share_one_answer() -> None:
    shared: Shared[int] = Shared()
    asked: list[int] = []
    go_on = threading.Event()

    def ask() -> int:
        asked.append(1)
        go_on.wait(5)
        return len(asked)

    with ThreadPoolExecutor(5) as threads:
        answers = [threads.submit(shared.result, 60.0, 10.0, Clock(), ask) for _ in range(5)]
        go_on.set()
        assert {answer.result() for answer in answers} == {1}


def test_an_answer_is_asked_for_anew_once_it_is_too_old() -> None:
    shared: Shared[int] = Shared()
    seconds = 0.0
    clock = Clock(monotonic=lambda: seconds)
    assert shared.result(1.0, 1.0, clock, lambda: 1) == 1
    seconds = 1.0
    assert shared.result(1.0, 1.0, clock, lambda: 2) == 1
    seconds = 1.1
    assert shared.result(1.0, 1.0, clock, lambda: 3) == 3


def test_an_error_is_not_shared_and_nobody_waits_for_ever() -> None:
    shared: Shared[int] = Shared()
    with pytest.raises(ZeroDivisionError):
        shared.result(60.0, 1.0, Clock(), lambda: 1 // 0)
    hanging, go_on = threading.Event(), threading.Event()

    def hang() -> int:
        hanging.set()
        go_on.wait(5)
        return 1

    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(shared.result, 0.0, 1.0, Clock(), hang)
        hanging.wait(5)
        assert shared.result(0.0, 0.01, Clock(), lambda: 2) == 2
        go_on.set()
        assert first.result() == 1


def test_a_key_counts_once_however_many_use_it_and_for_as_long_as_one_does() -> None:
    present, counts = Present(), []
    with suppress(ZeroDivisionError), present.using("a"):
        with present.using("a"), present.using("b"):
            counts.append(len(present))
        counts.append(len(present))
        raise ZeroDivisionError
    assert [*counts, len(present)] == [2, 1, 0]
