"""No interleaving of claims, takeovers, releases, starts, recreations and foreign writers loses anything or doubles a client.

The platform gives a new client whenever it is not asked under the same idempotency key. Wall clocks are hours apart, requests and
responses are lost, holders die or are stopped in the middle of an invocation and wake up after their claim was taken over.
"""

from __future__ import annotations

import json
import uuid
from contextlib import closing
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from emulator.platform.responses import PlatformApp
from emulator.supabase.app import SupabaseApp
from emulator.supabase.database import timestamp
from tests.support.interleaving import Actor, Outcome, World, settings_of

MOST_ACTORS = 4
SKEWS = [0.0, 3.000_003, -4.500_017, 7_200.000_013, -7_200.000_007]


class OneOrganization(RuleBasedStateMachine):
    outcomes: ClassVar[list[Outcome]] = [*["answer"] * 4, "lose the request", "lose the answer", "die"]  # type: ignore[list-item]
    honours_idempotency_key = True
    create_starts = True

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.supabase = SupabaseApp(self.world)
        self.platform = PlatformApp(self.world)
        self.platform.settings.one_client_per_organization = False
        self.platform.settings.honours_idempotency_key = self.honours_idempotency_key
        self.platform.settings.create_starts = self.create_starts
        self.platform.settings.qr_delay = 0
        self.organization_id = str(uuid.uuid4())
        self.supabase.add_user("user@example.com", organization_id=self.organization_id)
        self.actors: list[Actor] = []
        self.written: list[str] = []
        self.saved: set[tuple[str, str]] = set()
        self.somebody_slept = False
        self.recreations = 0

    def running(self) -> list[Actor]:
        return [actor for actor in self.actors if not actor.done]

    def new_actor(self, skew: float, *, recreate: bool = False) -> Actor:
        actor = Actor(self.world, self.supabase, self.platform, self.organization_id, skew, recreate=recreate)
        self.actors.append(actor)
        return actor

    @precondition(lambda self: len(self.running()) < MOST_ACTORS)
    @rule(skew=st.sampled_from(SKEWS))
    def somebody_calls(self, skew: float) -> None:
        self.new_actor(skew)

    @precondition(lambda self: self.running())
    @rule(which=st.integers(0, MOST_ACTORS), steps=st.integers(1, 5))
    def somebody_goes_on(self, which: int, steps: int) -> None:
        actor = self.running()[which % len(self.running())]
        for _ in range(steps):
            if not actor.done:
                actor.go_on("answer")

    @precondition(lambda self: self.running())
    @rule(which=st.integers(0, MOST_ACTORS), outcome=st.integers(0, 100))
    def something_happens_to_somebody(self, which: int, outcome: int) -> None:
        self.running()[which % len(self.running())].go_on(self.outcomes[outcome % len(self.outcomes)])

    @rule(seconds=st.sampled_from([0.5, 5.0, 20.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.advance(seconds)

    @precondition(lambda self: self.running())
    @rule(which=st.integers(0, MOST_ACTORS), seconds=st.sampled_from([3.0, 7.0, 60.0]), notices=st.booleans())
    def somebody_is_stopped_for_a_while(self, which: int, seconds: float, notices: bool) -> None:
        """As a process by SIGSTOP, whose clock goes on, or with its machine, whose clock does not."""
        self.somebody_slept = True
        actor = self.running()[which % len(self.running())]
        actor.is_asleep = True
        self.world.advance(seconds)
        actor.is_asleep = False
        if not notices:
            actor.suspended += seconds

    @precondition(lambda self: 0 < len(self.running()) < MOST_ACTORS)
    @rule(skew=st.sampled_from(SKEWS))
    def everybody_is_stopped_while_another_call_takes_over(self, skew: float) -> None:
        self.somebody_slept = True
        stopped = self.running()
        for actor in stopped:
            actor.is_asleep = True
        _to_the_end(self.new_actor(skew))
        for actor in stopped:
            actor.is_asleep = False

    @rule()
    def another_function_writes_a_setting(self) -> None:
        for row in self.supabase.rows(self.organization_id):
            self.written.append(f"theirs{len(self.written)}")
            self.write(row["id"], row["settings"] | {self.written[-1]: 1})

    @rule()
    def the_platform_revokes_its_tokens(self) -> None:
        for client in self.platform.clients_of(self.organization_id):
            self.platform.revoke_tokens(client.session)

    def write(self, row_id: str, settings: dict[str, Any]) -> None:
        """As other code of the product does: whole, and whatever has changed since it read."""
        self.supabase.execute(
            "update messenger_integrations set settings = %s, updated_at = %s where id = %s",
            json.dumps(settings),
            timestamp(self.world.now()),
            row_id,
        )

    @invariant()
    def no_second_client_no_second_row_and_nothing_saved_is_lost(self) -> None:
        clients = self.platform.clients_of(self.organization_id)
        stored = settings_of(self.supabase, self.organization_id)
        assert len(stored) <= 1
        assert len(clients) <= 1 or not self.must_be_one_client()
        for found in stored:
            assert set(self.written) <= set(found)
            if "wppApiKey" in found:
                self.saved.add((found["wppApiKey"], found["wppAccountNumber"]))
        assert self.saved <= {(client.api_key, client.session) for client in clients}
        assert not self.saved or "wppApiKey" in stored[0]
        assert len(self.saved) <= 1 + self.recreations, "a holder whose claim was taken over changed the row"

    @invariant()
    def a_running_session_is_not_started_again(self) -> None:
        if not self.somebody_slept:
            assert [session.restarts for session in self.platform.sessions.values() if session.restarts] == []

    def must_be_one_client(self) -> bool:
        return True

    def teardown(self) -> None:
        try:
            self._finish()
        finally:
            self.supabase.close()

    def _finish(self) -> None:
        """Everybody comes to an end, every claim dies, and one more call finds or makes all that was promised."""
        for actor in self.actors:
            _to_the_end(actor)
            assert actor.done
        last = self.new_actor(0.0)
        _to_the_end(last)
        clients = self.platform.clients_of(self.organization_id)
        (row,) = self.supabase.rows(self.organization_id)
        assert last.error is None
        assert row["is_active"]
        # Whoever died after the client was there left a claim that nobody waits for.
        assert row["settings"].get("wppClaim", {"doing": "start"})["doing"] == "start"
        assert (row["settings"]["wppApiKey"], last.session) in {(c.api_key, c.session) for c in clients}
        assert len(clients) == 1 or not self.must_be_one_client()
        assert set(self.written) <= set(row["settings"])


class WithSessionsToStart(OneOrganization):
    """A platform that leaves the session of a new client offline, and phones that log out."""

    create_starts = False

    @rule()
    def the_phone_logs_out(self) -> None:
        for client in self.platform.clients_of(self.organization_id):
            self.platform.disconnect(client.session)


class WithRecreations(OneOrganization):
    def must_be_one_client(self) -> bool:
        return False  # each recreation may ask for another

    @precondition(lambda self: len(self.running()) < MOST_ACTORS)
    @rule(skew=st.sampled_from(SKEWS))
    def somebody_recreates(self, skew: float) -> None:
        self.recreations += 1
        self.new_actor(skew, recreate=True)

    @invariant()
    def no_recreation_makes_two_clients(self) -> None:
        assert len(self.platform.clients_of(self.organization_id)) <= 1 + self.recreations


class WithForeignWriters(OneOrganization):
    """Code that read `settings` whole writes it back whole, later: claims and credentials may be gone by then."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[tuple[str, dict[str, Any]]] = []

    @rule()
    def another_function_reads(self) -> None:
        self.read = [(row["id"], row["settings"]) for row in self.supabase.rows(self.organization_id)]

    @precondition(lambda self: self.read)
    @rule()
    def another_function_writes_what_it_read(self) -> None:
        for row_id, found in self.read:
            self.write(row_id, found)
            self.written = [name for name in self.written if name in found]
        self.saved.clear()
        self.somebody_slept = True  # such code can cause a second start, never a second client


class OnAForgetfulPlatform(OneOrganization):
    """A platform that knows no idempotency keys: only the claim stands between two callers and two clients.

    Nothing is lost on the way here. Once a holder sleeps in the middle of a creation, a second client is the limit that the
    README states; what was saved must stay saved all the same.
    """

    outcomes: ClassVar[list[Outcome]] = ["answer"]
    honours_idempotency_key = False

    def must_be_one_client(self) -> bool:
        # A request that is under way when its invocation's deadline passes counts as lost on the way.
        return not self.somebody_slept and all(actor.began > self.world.now() - 20 for actor in self.actors[:-1])


def _to_the_end(actor: Actor) -> None:
    for _ in range(2000):
        if actor.done:
            return
        actor.go_on("answer")


@pytest.mark.parametrize("steps", range(1, 9))
@pytest.mark.parametrize("notices", [False, True])
def test_a_holder_that_slept_until_its_claim_was_taken_over_wakes_up_and_changes_nothing(
    steps: int, *, notices: bool
) -> None:
    world = World()
    with closing(SupabaseApp(world)) as supabase:
        platform = PlatformApp(world)
        platform.settings.one_client_per_organization = platform.settings.honours_idempotency_key = False
        organization_id = str(uuid.uuid4())
        supabase.add_user("user@example.com", organization_id=organization_id)
        holder = Actor(world, supabase, platform, organization_id, 0.0)
        for _ in range(steps):
            holder.go_on("answer")
        holder.is_asleep = True
        began = world.now()
        successor = Actor(world, supabase, platform, organization_id, 0.0)
        _to_the_end(successor)
        (saved,) = settings_of(supabase, organization_id)
        holder.is_asleep = False
        if not notices:
            holder.suspended += world.now() - began

        _to_the_end(holder)

        (after,) = settings_of(supabase, organization_id)
        assert (after["wppApiKey"], after["wppAccountNumber"]) == (saved["wppApiKey"], saved["wppAccountNumber"])
        assert successor.session == saved["wppAccountNumber"]
        # Stopped before it asked the platform, it finds that its claim is gone; later, it takes the successor's result.
        assert holder.session == successor.session or holder.error is not None


_SETTINGS = settings(
    max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
MACHINES = (OneOrganization, WithSessionsToStart, WithRecreations, WithForeignWriters, OnAForgetfulPlatform)
TestOneOrganization = OneOrganization.TestCase
TestWithSessionsToStart = WithSessionsToStart.TestCase
TestWithRecreations = WithRecreations.TestCase
TestWithForeignWriters = WithForeignWriters.TestCase
TestOnAForgetfulPlatform = OnAForgetfulPlatform.TestCase
for machine in MACHINES:
    machine.TestCase.settings = _SETTINGS
