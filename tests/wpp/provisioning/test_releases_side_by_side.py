"""The release before and this one, side by side in both directions, as while one replaces the other: nothing is lost or doubled.

The one before knows neither beats nor derived idempotency keys; its claims are leases that end by the wall clock, so here clocks
differ by less than the 10 seconds that a lease allows for. It looks for a start in another place than this one writes it to, and
so may start a session that runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize

from tests.support.interleaving import Actor, Process
from tests.support.machines import WithRecreations
from tests.support.organizations import PROCESSES
from tests.support.release_before import BEFORE
from tests.support.releases import PRESENT
from tests.support.scenarios import SCENARIOS, at_each_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.supabase.app import SupabaseApp
    from tests.support.organizations import OneOrganization
    from tests.support.releases import Release

pytestmark = pytest.mark.slow
SKEWS = [0.0, 3.000_003, -4.500_017, 4.100_013, -2.000_007]


class SideBySide(WithRecreations):
    releases: tuple[Release, ...] = (BEFORE, PRESENT)

    @initialize(skews=st.permutations(SKEWS), starts=st.booleans())
    def the_world_begins(self, skews: list[float], starts: bool) -> None:
        self.platform.settings.create_starts = starts
        self.may_restart = True
        self.processes = [
            Process(self.world, skews[index], self.releases[index % len(self.releases)]) for index in range(PROCESSES)
        ]

    def session_in_the_end(self, process: Process) -> str | None:
        Actor(
            process
        ).to_the_end()  # which sees for the first time what is left, and has to see it unchanged for 40 seconds
        self.world.advance(45)
        return super().session_in_the_end(process)

    def end_claims(self, process: Process, seconds: float = 45) -> None:
        super().end_claims(process, seconds)


def test_old_and_new_code_side_by_side_lose_nothing_and_double_nothing(
    play: Callable[[type[OneOrganization]], None],
) -> None:
    play(SideBySide)


@pytest.mark.parametrize("trouble", ["die", "die, arrive late"])
@pytest.mark.parametrize("scenario", ["a first client, left offline", "a recreation"])
@pytest.mark.parametrize(("release", "other"), [(BEFORE, PRESENT), (PRESENT, BEFORE)], ids=["old to new", "new to old"])
def test_one_release_takes_over_from_the_other_once_that_has_certainly_ended(
    supabase: SupabaseApp, release: Release, other: Release, scenario: str, trouble: Any
) -> None:
    for organization, holder in at_each_request(supabase, SCENARIOS[scenario], SideBySide, release):
        organization.end_request(holder, trouble)
        process = Process(organization.world, 4.1, other)
        for seconds in (7, 7, 35):
            Actor(process).to_the_end()
            organization.world.advance(seconds)
        last = Actor(process)
        last.to_the_end()
        assert last.error is None
        organization.check()


@pytest.mark.parametrize("scenario", ["a first client, left offline", "an ended session"])
@pytest.mark.parametrize(("release", "other"), [(BEFORE, PRESENT), (PRESENT, BEFORE)], ids=["old to new", "new to old"])
def test_one_release_waits_for_the_other_while_that_is_at_work(
    supabase: SupabaseApp, release: Release, other: Release, scenario: str
) -> None:
    claimed_starts = 0
    for organization, holder in at_each_request(supabase, SCENARIOS[scenario], SideBySide, release):
        organization.platform.settings.honours_idempotency_key = False
        is_starting = any("wppStart" in row["settings"] for row in supabase.rows(organization.organization_id))
        observer = Actor(Process(organization.world, 4.1, other))
        until = organization.world.now() + 3
        while not observer.done and organization.world.now() < until:
            observer.go_on()
        for actor in (holder, observer):
            actor.to_the_end()
            assert actor.error is None
        organization.check()
        assert len(organization.platform.clients_of(organization.organization_id)) == 1
        if is_starting:  # as the release before claims a start
            claimed_starts += 1
            assert "start" not in observer.calls
    assert claimed_starts or release is PRESENT
