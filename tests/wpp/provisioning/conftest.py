from __future__ import annotations

import random
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.database import DirectoryBasedExampleDatabase, MultiplexedDatabase, ReadOnlyDatabase
from hypothesis.stateful import run_state_machine_as_test

from emulator.clock import Clock
from emulator.supabase.app import SupabaseApp
from tests.support.alone import Alone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.organizations import OneOrganization
    from wpp.supabase.rows import Integration

EXAMPLES = 10
"""Of each machine."""
FOUND = Path(__file__).with_name("found")
"""A folder for each machine, as Hypothesis keeps its examples."""


@pytest.fixture(scope="module")
def supabase() -> Iterator[SupabaseApp]:
    """Without a server: requests reach it by a call."""
    with closing(SupabaseApp(Clock())) as supabase:
        yield supabase


@pytest.fixture
def alone(supabase: SupabaseApp) -> Alone:
    return Alone(supabase)


@pytest.fixture
def row(alone: Alone) -> Integration:
    """Of a number that was connected before."""
    return alone.connected_before()


@pytest.fixture
def play(supabase: SupabaseApp, request: pytest.FixtureRequest) -> Callable[[type[OneOrganization]], None]:
    """Plays those that broke a promise before, which are committed in `found`, and then others with each run: what one of those
    finds is a bug, however rare. `--hypothesis-seed` repeats a run. What was found is in `.hypothesis/found`, to be copied."""
    given = request.config.getoption("--hypothesis-seed")
    number = random.getrandbits(32) if given is None else int(given)

    def play(machine: type[OneOrganization]) -> None:
        committed = ReadOnlyDatabase(DirectoryBasedExampleDatabase(FOUND / machine.__name__))
        new = DirectoryBasedExampleDatabase(request.config.rootpath / ".hypothesis/found" / machine.__name__)
        rules = settings(
            max_examples=EXAMPLES,
            stateful_step_count=15,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=False,
            database=MultiplexedDatabase(new, committed),
            print_blob=True,
            # An example has 15 steps at most, and to make one smaller may take minutes.
            phases=[Phase.reuse, Phase.generate],
        )
        begin = seed(number)(partial(machine, supabase))
        try:
            run_state_machine_as_test(begin, settings=rules)  # type: ignore[arg-type] # a factory will do
        except BaseException as error:
            error.add_note(f"\nThe same examples again: pytest '{request.node.nodeid}' --hypothesis-seed={number}")
            raise

    return play
