"""A holder of a claim that can be held up at each of its requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tests.support.interleaving import Actor, Process
from tests.support.organizations import OneOrganization
from tests.support.releases import PRESENT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.supabase.app import SupabaseApp
    from tests.support.releases import Release


class Scenario(NamedTuple):
    has_client: bool = False
    recreates: bool = False
    refused: str = ""
    """The call that meets a token which was revoked a moment ago."""


SCENARIOS = {
    "a first client, left offline": Scenario(),
    "a first client, whose token start refuses": Scenario(refused="start"),
    "an ended session": Scenario(has_client=True),
    "an ended session, whose token start refuses": Scenario(has_client=True, refused="start"),
    "a recreation": Scenario(has_client=True, recreates=True),
    "a recreation, whose token stop refuses": Scenario(has_client=True, recreates=True, refused="stop"),
}


def at_each_request(
    supabase: SupabaseApp,
    scenario: Scenario,
    machine: type[OneOrganization] = OneOrganization,
    release: Release = PRESENT,
) -> Iterator[tuple[OneOrganization, Actor]]:
    """An organization, and a holder that is about to send its first request, its second, and so on; not each of many looks."""
    steps = 0
    while True:
        organization, holder = begun(machine(supabase), scenario, release=release)
        for _ in range(steps):
            if holder.pending == scenario.refused and scenario.refused not in holder.calls[:-1]:
                organization.revoke_tokens()
            before = holder.pending
            while not holder.done and holder.pending == before:
                holder.go_on()
        if holder.done:
            assert steps > 2
            return
        yield organization, holder
        organization.teardown()
        organization.check()
        steps += 1


def begun(
    organization: OneOrganization, scenario: Scenario, *, since_start: float = 20, release: Release = PRESENT
) -> tuple[OneOrganization, Actor]:
    organization.the_world_begins(skews=[0.0, 0.0, 0.0], starts=False)
    if scenario.has_client:
        Actor(organization.processes[1]).to_the_end()
        organization.log_out()
        organization.world.advance(since_start)
    organization.recreations = int(scenario.recreates)
    organization.processes[0] = Process(organization.world, release=release)
    return organization, Actor(organization.processes[0], "recreate" if scenario.recreates else "connect")
