"""No interleaving of claims, takeovers, releases, starts, recreations and foreign writers loses anything or doubles a client.

The platform gives a new client whenever it is not asked under the same idempotency key. Wall clocks are hours apart; requests and
responses are lost or late; processes die, are stopped, cannot reach Supabase or lose their beats, and go on after their claim was
taken over; observers come and go.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from tests.support.interleaving import Actor, Process
from tests.support.organizations import ACTS, Act, OneOrganization

if TYPE_CHECKING:
    from emulator.supabase.app import SupabaseApp


class WithRecreations(OneOrganization):
    @rule(act=ACTS, recreates=st.booleans())
    def somebody_recreates(self, act: Act, recreates: bool) -> None:
        self.recreates = recreates
        self.act(act)

    recreates = False

    def call(self, process: Process) -> Actor:
        self.recreations += self.recreates
        return Actor(process, recreate=self.recreates)


class WithForeignWriters(OneOrganization):
    """Code that read `settings` whole writes it back whole, later: claims and credentials may be gone by then."""

    def __init__(self, supabase: SupabaseApp) -> None:
        super().__init__(supabase)
        self.read: dict[str, dict[str, Any]] = {}

    @rule(act=ACTS)
    def another_function_reads(self, act: Act) -> None:
        self.act(act)
        self.read = {row["id"]: row["settings"] for row in self.supabase.rows(self.organization_id)}

    @rule(act=ACTS, knows_ours=st.booleans())
    def another_function_writes_what_it_read(self, act: Act, knows_ours: bool) -> None:
        self.act(act)
        for row in self.supabase.rows(self.organization_id):
            settings = self.read.get(row["id"], {}) if knows_ours else {}
            self.write(row["id"], settings)
            self.written = [name for name in self.written if name in settings]
            self.saved.clear()
            self.may_restart = True  # such code can cause a second start, never a second client


class OnAForgetfulPlatform(OneOrganization):
    """A platform that knows no idempotency keys: only the claim stands between two callers and two clients.

    No response is lost here. Once somebody has sent `create` and is taken over, a second client is the limit that the README
    states.
    """

    harmless = frozenset({"lose the request"})
    honours_idempotency_key = False

    def most_clients(self) -> int:
        return 100 if self.world.claims.was_overtaken else 1


MACHINES = (OneOrganization, WithRecreations, WithForeignWriters, OnAForgetfulPlatform)
SETTINGS = settings(
    max_examples=40, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.__name__)
def test_whatever_happens_nothing_is_lost_and_nothing_is_doubled(
    supabase: SupabaseApp, machine: type[OneOrganization]
) -> None:
    run_state_machine_as_test(partial(machine, supabase), settings=SETTINGS)  # type: ignore[arg-type] # a factory will do
