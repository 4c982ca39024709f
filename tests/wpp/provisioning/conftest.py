from __future__ import annotations

import random
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from emulator.clock import Clock
from emulator.supabase.app import SupabaseApp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.organizations import OneOrganization

EXAMPLES = 10
"""Of each machine."""


@pytest.fixture(scope="module")
def supabase() -> Iterator[SupabaseApp]:
    """Without a server: requests reach it by a call."""
    with closing(SupabaseApp(Clock())) as supabase:
        yield supabase


@pytest.fixture
def play(supabase: SupabaseApp, request: pytest.FixtureRequest) -> Callable[[type[OneOrganization]], None]:
    """Plays other examples with each run, so what one finds is a bug, however rare. `--hypothesis-seed` repeats a run: examples
    depend on nothing else. What was found is to be kept as a case of `test_takeovers`."""
    given = request.config.getoption("--hypothesis-seed")
    number = random.getrandbits(32) if given is None else int(given)
    rules = settings(
        max_examples=EXAMPLES,
        stateful_step_count=15,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=False,
        database=None,
        print_blob=True,
        phases=[Phase.generate],  # an example has 15 steps at most, and to make one smaller may take minutes
    )

    def play(machine: type[OneOrganization]) -> None:
        begin = seed(number)(partial(machine, supabase))
        try:
            run_state_machine_as_test(begin, settings=rules)  # type: ignore[arg-type] # a factory will do
        except BaseException as error:
            error.add_note(f"\nThe same examples again: pytest '{request.node.nodeid}' --hypothesis-seed={number}")
            raise

    return play
