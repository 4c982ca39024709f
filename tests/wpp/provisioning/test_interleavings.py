"""No interleaving of claim, takeover, release, token refresh and foreign writers loses anything or makes a second client.

The platform gives a new client whenever it is not asked under the same idempotency key. Clocks differ by seconds, machines fall
asleep in the middle of an invocation, and owners wake up after their lease was taken.
"""

from __future__ import annotations

import uuid
from contextlib import closing
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from emulator.platform.responses import PlatformApp
from emulator.supabase.app import SupabaseApp
from emulator.supabase.database import timestamp
from tests.support.interleaving import Actor, Outcome, World, settings_of

MOST_ACTORS = 4
SKEWS = [0.0, 3.000_003, -3.000_007, 4.500_013, -4.500_017]


class OneOrganization(RuleBasedStateMachine):
    outcomes: ClassVar[list[Outcome]] = [
        "answer",
        "answer",
        "answer",
        "answer",
        "lose the request",
        "lose the answer",
        "die",
    ]
    honours_idempotency_key = True

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.supabase = SupabaseApp(self.world)
        self.platform = PlatformApp(self.world)
        self.platform.settings.one_client_per_organization = False
        self.platform.settings.honours_idempotency_key = self.honours_idempotency_key
        self.platform.settings.qr_delay = 0
        self.organization_id = str(uuid.uuid4())
        self.supabase.add_user("user@example.com", organization_id=self.organization_id)
        self.actors: list[Actor] = []
        self.written: list[str] = []
        self.saved: set[tuple[str, str]] = set()
        self.a_lease_may_have_ended = False

    def running(self) -> list[Actor]:
        return [actor for actor in self.actors if not actor.done]

    @precondition(lambda self: len(self.running()) < MOST_ACTORS)
    @rule(skew=st.sampled_from(SKEWS))
    def somebody_calls(self, skew: float) -> None:
        self.actors.append(Actor(self.world, self.supabase, self.platform, self.organization_id, skew))

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

    @rule(seconds=st.sampled_from([0.5, 5.0, 20.0, 60.0]), asleep=st.booleans())
    def time_passes(self, seconds: float, asleep: bool) -> None:
        """Everybody who is at work sees it, or only wakes up later without having noticed."""
        self.world.advance(seconds)
        self.a_lease_may_have_ended = True
        if asleep:
            for actor in self.running():
                actor.suspended += seconds

    @precondition(lambda self: 0 < len(self.running()) < MOST_ACTORS)
    @rule(skew=st.sampled_from(SKEWS))
    def machines_sleep_while_another_call_takes_over(self, skew: float) -> None:
        self.world.advance(60.0)
        self.a_lease_may_have_ended = True
        for actor in self.running():
            actor.suspended += 60.0
        _to_the_end(Actor(self.world, self.supabase, self.platform, self.organization_id, skew))

    @rule()
    def another_function_writes_a_setting(self) -> None:
        for row in self.supabase.rows(self.organization_id):
            name = f"theirs{len(self.written)}"
            self.supabase.execute(
                "update messenger_integrations set settings = settings || jsonb_build_object(%s::text, 1), updated_at = %s"
                " where id = %s",
                name,
                timestamp(self.world.now()),
                row["id"],
            )
            self.written.append(name)

    @rule()
    def the_platform_revokes_its_tokens(self) -> None:
        for client in self.platform.clients_of(self.organization_id):
            self.platform.revoke_tokens(client.session)

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
        assert len(self.saved) <= 1, "a writer whose lease was taken over changed the row"

    def must_be_one_client(self) -> bool:
        return True

    def teardown(self) -> None:
        try:
            self._finish()
        finally:
            self.supabase.close()

    def _finish(self) -> None:
        """Everybody comes to an end, every lease runs out, and one more call finds or makes all that was promised."""
        for actor in self.actors:
            _to_the_end(actor)
            assert actor.done
        self.world.advance(120)
        last = Actor(self.world, self.supabase, self.platform, self.organization_id, 0.0)
        _to_the_end(last)
        clients = self.platform.clients_of(self.organization_id)
        (row,) = self.supabase.rows(self.organization_id)
        assert last.error is None
        assert row["is_active"]
        assert (row["settings"]["wppApiKey"], last.session) in {(c.api_key, c.session) for c in clients}
        assert len(clients) == 1 or not self.must_be_one_client()
        assert set(self.written) <= set(row["settings"])


def _to_the_end(actor: Actor) -> None:
    for _ in range(2000):
        if actor.done:
            return
        actor.go_on("answer")


@pytest.mark.parametrize("steps", range(1, 9))
def test_an_owner_that_slept_through_its_lease_wakes_up_and_changes_nothing(steps: int) -> None:
    world = World()
    with closing(SupabaseApp(world)) as supabase:
        platform = PlatformApp(world)
        platform.settings.one_client_per_organization = platform.settings.honours_idempotency_key = False
        organization_id = str(uuid.uuid4())
        supabase.add_user("user@example.com", organization_id=organization_id)
        owner = Actor(world, supabase, platform, organization_id, 0.0)
        for _ in range(steps):
            owner.go_on("answer")
        world.advance(60)
        owner.suspended += 60
        successor = Actor(world, supabase, platform, organization_id, 0.0)
        _to_the_end(successor)
        (saved,) = settings_of(supabase, organization_id)

        _to_the_end(owner)

        (after,) = settings_of(supabase, organization_id)
        assert (after["wppApiKey"], after["wppAccountNumber"]) == (saved["wppApiKey"], saved["wppAccountNumber"])
        assert successor.session == saved["wppAccountNumber"]
        # Asleep before it asked the platform it sees that its lease is over; later it takes the successor's result.
        assert owner.session == successor.session or owner.error is not None


class OnAForgetfulPlatform(OneOrganization):
    """A platform that knows no idempotency keys: only the claim stands between two callers and two clients.

    Nothing is lost on the way here. Once a lease ends while its owner sleeps, a second client is the limit
    that the README states; what was saved must stay saved all the same.
    """

    outcomes: ClassVar[list[Outcome]] = ["answer"]
    honours_idempotency_key = False

    def must_be_one_client(self) -> bool:
        return not self.a_lease_may_have_ended


_SETTINGS = settings(
    max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
TestOneOrganization = OneOrganization.TestCase
TestOneOrganization.settings = _SETTINGS
TestOnAForgetfulPlatform = OnAForgetfulPlatform.TestCase
TestOnAForgetfulPlatform.settings = _SETTINGS
