"""A pytest plugin that runs, in the place of the collected tests, each mutant's own tests with that mutant."""

from __future__ import annotations

import heapq
import json
import os
import signal
import time
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.mutants import forks
from tests.mutants.generated import FOLDER, KILLED, NO_TESTS, SURVIVED, TIMED_OUT
from tests.mutants.lines import lines_of
from tests.mutants.measured import Test, Tests
from tests.mutants.selection import is_selected

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

    from tests.mutants.generated import Mutant

_KEPT = FOLDER / "checked.json"
_ROUND = 8.0  # seconds of tests
_OVERHEAD = 0.005  # seconds for each
_PATIENCE, _TIMES = 5.0, 6.0  # a call may take up to its deadline, and several mutants are checked at once
_KILLERS = 5
_CONTROL_EVERY = 40  # attempts


class _Round(NamedTuple):
    """In a heap: the lowest first."""

    number: int
    seconds: float
    mutant: int
    tests: list[Test]


class _Attempt(NamedTuple):
    child: forks.Child
    round: _Round
    tests: list[Test]
    is_control: bool
    """Without the mutant: what fails then would have killed any."""


class Checking:
    """`give_up` is by the monotonic clock.

    A mutant gets the tests that run its lines in rounds: most are killed in the first, and no survivor keeps the others waiting.
    """

    def __init__(self, mutants: Sequence[Mutant], jobs: int, give_up: float) -> None:
        self._mutants = mutants
        self._jobs = jobs
        self._give_up = give_up
        self._running: dict[int, _Attempt] = {}
        self._waiting: list[_Round] = []
        self._started = self._controls = 0
        self._failed: Counter[str] = Counter()
        """The tests that failed without a mutant."""
        kept: dict[str, Any] = json.loads(_KEPT.read_text()) if _KEPT.exists() else {}
        self._survived: dict[str, list[str]] = kept.get("survived", {})
        """By mutant: the versions of the tests that it has survived."""
        self._killers: dict[str, list[str]] = kept.get("killers", {})
        """By function: the tests that killed its last mutants."""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if is_selected(item.nodeid)]

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self._session = session
        self._items = {item.nodeid: item for item in session.items}
        self._positions = {node_id: position for position, node_id in enumerate(self._items)}
        forks.prepare()
        self._tests = Tests(self._items, self._measured)
        print(f"{len(self._items)} tests; {self._tests.too_slow()} are left out, as they take too long")
        for number, mutant in enumerate(self._mutants):
            self._enqueue(0, number, self._to_run(mutant))
        try:
            self._check_all()
        finally:
            for attempt in self._running.values():
                attempt.child.kill()
            self._save()
        return True

    def _measured(self, node_ids: list[str]) -> list[Test]:
        print(f"measuring which lines {len(node_ids)} tests run", flush=True)
        began, code = time.monotonic(), FOLDER / "mutants/src"
        files = list(dict.fromkeys(node_id.partition("::")[0] for node_id in node_ids))
        children = []
        for number in range(self._jobs):
            # Files that follow each other are alike: each child gets some of every kind.
            share = {*files[number :: self._jobs]}
            items = [self._items[node_id] for node_id in node_ids if node_id.partition("::")[0] in share]
            result = FOLDER / f"measured.{number}.json"
            result.write_text("{}")
            work = partial(forks.measure, items, code, result)
            children.append((forks.Child(work, str(FOLDER / f"measured.{number}.log")), result))
        tests = []
        for child, result in children:
            child.ended(os.waitpid(child.pid, 0)[1])
            for node_id, (seconds, failure, lines) in json.loads(result.read_text()).items():
                if failure:
                    print(f"left out, as it fails without a mutant: {node_id}: {failure}")
                else:
                    tests.append(Test(node_id, seconds, lines))
        print(f"measured in {time.monotonic() - began:.0f} s", flush=True)
        return tests

    def _to_run(self, mutant: Mutant) -> list[Test]:
        """Empty if the verdict stands. A survivor has to survive what has changed since then."""
        tests = self._tests.running(mutant.path, lines_of(mutant))
        if mutant.exit_code not in (None, NO_TESTS, SURVIVED):
            return []
        if mutant.exit_code != SURVIVED:
            self._survived.pop(mutant.name, None)
        if not tests:
            mutant.keep(NO_TESTS)
        survived = {*self._survived.get(mutant.name, [])}
        return [test for test in tests if test.version not in survived]

    def _enqueue(self, number: int, mutant: int, tests: list[Test]) -> None:
        if tests:
            heapq.heappush(self._waiting, _Round(number, sum(test.seconds for test in tests), mutant, tests))

    def _check_all(self) -> None:
        began = said = time.monotonic()
        print(f"checking {len(self._waiting)} mutants", flush=True)
        while self._waiting or self._running:
            if len(self._running) >= self._jobs or not self._waiting:
                if not self._wait():
                    break
            elif time.monotonic() < self._give_up:
                self._start_next()
            else:
                break
            if time.monotonic() > said + 30:
                said = time.monotonic()
                waiting = Counter("first" if one.number == 0 else "later" for one in self._waiting)
                print(f"{said - began:.0f} s: {waiting['first']} mutants wait for their first tests,", end=" ")
                print(f"{waiting['later']} survivors for more; {self._started} attempts", flush=True)
                self._save()
        print(f"{self._controls} attempts without a mutant; {sum(self._failed.values())} failed", flush=True)
        for test, count in self._failed.most_common():
            print(f"fails at times without a mutant: {test} ({count})")

    def _start_next(self) -> None:
        following = heapq.heappop(self._waiting)
        tests = self._of_one_round(following)
        self._started += 1
        if self._started % _CONTROL_EVERY == 0:
            self._start(following, tests, is_control=True)
        self._start(following, tests, is_control=False)

    def _of_one_round(self, waiting: _Round) -> list[Test]:
        """First those that killed the last mutants of the function; the others as pytest would order them."""
        killers = self._killers.get(self._mutants[waiting.mutant].function, [])
        seconds, chosen = 0.0, []
        for test in sorted(waiting.tests, key=lambda test: test.node_id not in killers):
            chosen.append(test)
            seconds += test.seconds + _OVERHEAD
            if seconds > _ROUND:
                break
        return sorted(chosen, key=lambda test: (test.node_id not in killers, self._positions[test.node_id]))

    def _start(self, waiting: _Round, tests: list[Test], *, is_control: bool) -> None:
        name = "" if is_control else self._mutants[waiting.mutant].name
        items = [self._items[test.node_id] for test in tests]
        limits = [_PATIENCE + _TIMES * test.seconds for test in tests]

        def work(write: Any) -> int:
            from mutmut.mutation.trampoline import set_mutant_under_test

            set_mutant_under_test(name)
            killer = forks.run(items, limits, self._session)
            if killer is not None:
                write(killer)
            return SURVIVED if killer is None else KILLED

        child = forks.Child(work)
        self._running[child.pid] = _Attempt(child, waiting, tests, is_control)

    def _wait(self) -> bool:
        """For one to end. False if there is no more time."""
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid in self._running:
                break
            if time.monotonic() > self._give_up:
                return False
            signal.sigtimedwait([signal.SIGCHLD], 0.05)
        attempt = self._running.pop(pid)
        self._note(attempt, attempt.child.ended(status))
        return True

    def _note(self, attempt: _Attempt, ended: forks.Ended) -> None:
        if attempt.is_control:
            self._controls += 1
            if ended.exit_code != SURVIVED:
                self._failed[ended.written or f"exit code {ended.exit_code}"] += 1
            return
        mutant = self._mutants[attempt.round.mutant]
        if ended.exit_code == SURVIVED:
            versions = {test.version for test in attempt.tests}
            self._survived.setdefault(mutant.name, []).extend(versions)
            mutant.keep(SURVIVED)
            later = [test for test in attempt.round.tests if test.version not in versions]
            self._enqueue(attempt.round.number + 1, attempt.round.mutant, later)
            return
        self._survived.pop(mutant.name, None)
        if ended.written:
            others = [one for one in self._killers.get(mutant.function, []) if one != ended.written]
            self._killers[mutant.function] = [*others, ended.written][-_KILLERS:]
        mutant.keep(TIMED_OUT if ended.exit_code == -signal.SIGALRM else KILLED)

    def _save(self) -> None:
        _KEPT.write_text(json.dumps({"survived": self._survived, "killers": self._killers}))
