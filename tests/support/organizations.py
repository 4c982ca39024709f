"""A Hypothesis machine over one organization: calls of several processes, all that may happen to them, and what must hold."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from emulator.supabase.database import timestamp
from tests.support.interleaving import LATE, Actor, Doing, Outcome, Process, World

if TYPE_CHECKING:
    from emulator.platform.responses import PlatformApp
    from emulator.supabase.app import SupabaseApp

_MOST_ACTORS = 4
PROCESSES = 3
_SKEWS = [0.0, 3.000_003, -4.500_017, 7_200.000_013, -7_200.000_007]
_TROUBLES = ["stopped", "cut off", "lose the request", "lose the answer"]
_OUTCOMES: list[Outcome] = ["lose the request", "lose the answer", "arrive late", "die", "die, arrive late"]
_MOST_STEPS = 8
PATCH = "rest.PATCH.messenger_integrations"
_STOPS = ["create", "start", "stop", "token", PATCH, PATCH, "status", "rest.GET.messenger_integrations"]
Act = tuple[int, str, Outcome]
ACTS = st.tuples(
    st.integers(0, _MOST_ACTORS - 1), st.sampled_from(_STOPS), st.sampled_from([*["answer"] * 5, *_OUTCOMES])
)
"""Who acts, until which request, and how that one ends. Somebody acts with each rule, whichever rules Hypothesis picks for an
example."""
WHICH = st.integers(0, PROCESSES - 1)


class OneOrganization(RuleBasedStateMachine):
    harmless: ClassVar[frozenset[Outcome] | None] = None
    """The only outcomes, if not all may happen."""
    honours_idempotency_key = True

    def __init__(self, supabase: SupabaseApp) -> None:
        super().__init__()
        self.supabase = supabase
        self.organization_id = str(uuid.uuid4())
        supabase.execute(
            "delete from messenger_integrations"
        )  # those of earlier examples: reconcile goes over all rows
        supabase.add_user(f"{self.organization_id}@example.com", organization_id=self.organization_id)
        self.world = World(supabase, self.organization_id)
        self.platform: PlatformApp = self.world.platform
        self.platform.settings.one_client_per_organization = False
        self.platform.settings.honours_idempotency_key = self.honours_idempotency_key
        self.platform.settings.qr_delay = 0
        self.processes: list[Process] = []
        self.written: list[str] = []
        self.saved: set[tuple[str, str]] = set()
        self.doing: Doing = "connect"
        """What somebody who calls is there for."""
        self.recreations = 0
        self.may_restart = False
        """Something happened that no fence helps against."""

    @initialize(
        skews=st.one_of(st.just([0.0] * PROCESSES), st.permutations(_SKEWS)),
        starts=st.booleans(),
    )
    def the_world_begins(self, skews: list[float], starts: bool) -> None:
        """`starts`: whether `create` starts the session of a new client, or leaves it offline."""
        self.platform.settings.create_starts = starts
        self.processes = [Process(self.world, skew) for skew in skews[:PROCESSES]]

    # What callers do

    @rule(act=ACTS)
    def somebody_acts(self, act: Act) -> None:
        self.act(act)

    def act(self, act: Act) -> Actor | None:
        """Somebody goes on, or somebody else calls; returns who it was if they are at work still."""
        who, stop, ending = act
        running = [actor for actor in self.world.actors if not actor.done and not actor.process.is_asleep]
        if len(running) < _MOST_ACTORS:
            who %= len(running) + 1
        if who < len(running):
            actor = running[who]
        else:
            awake = [process for process in self.processes if not process.is_asleep]
            if not awake:
                return None
            actor = self.call(awake[len(self.world.actors) % len(awake)])
        for _ in range(_MOST_STEPS):
            if not actor.done and actor.pending != stop:
                actor.go_on()
        if not actor.done and ending != "answer":
            self.end_request(actor, ending)
        return None if actor.done else actor

    def call(self, process: Process) -> Actor:
        self.recreations += self.doing == "recreate"
        return Actor(process, self.doing)

    def end_request(self, actor: Actor, outcome: Outcome) -> None:
        if self.harmless is not None and outcome not in self.harmless:
            outcome = "answer"
        actor.go_on(outcome)
        if outcome.startswith("die"):
            self.processes = [p.successor() if p is actor.process else p for p in self.processes]
            for other in self.world.actors:
                if other.process is actor.process and not other.done:
                    other.go_on("die")

    # What happens to processes

    @rule(act=ACTS, seconds=st.sampled_from([0.5, 3.0, 7.0]))
    def time_passes(self, act: Act, seconds: float) -> None:
        self.act(act)
        self.world.advance(seconds)

    @rule(act=ACTS, which=WHICH, trouble=st.sampled_from(_TROUBLES))
    def a_process_gets_into_trouble(self, act: Act, which: int, trouble: str) -> None:
        self.act(act)
        self.get_into_trouble(self.processes[which], trouble)

    def get_into_trouble(self, process: Process, trouble: str) -> None:
        """It is stopped, as by SIGSTOP; or cannot reach Supabase, so that releases fail, too; or loses its beats."""
        if trouble == "stopped":
            self.stop(process)
        elif trouble == "cut off":
            process.is_cut_off = True
        elif trouble != "busy":
            process.background = trouble  # type: ignore[assignment]

    def stop(self, process: Process) -> None:
        process.is_asleep = True
        for actor in process.at_work():
            actor.slept = True
            self.may_restart |= actor.pending == "start"

    @rule(act=ACTS, which=WHICH)
    def a_process_recovers(self, act: Act, which: int) -> None:
        self.act(act)
        self.processes[which].recover()

    @rule(act=ACTS, seconds=st.sampled_from([3.0, 7.0, 60.0]))
    def a_machine_sleeps(self, act: Act, seconds: float) -> None:
        """Its monotonic clock stands still, so it does not know."""
        actor = self.act(act)
        if actor:
            self.stop(actor.process)
            self.world.advance(seconds)
            self.wake_up_unaware(actor.process, seconds)

    def wake_up_unaware(self, process: Process, seconds: float) -> None:
        process.is_asleep = False
        process.suspended += seconds
        for actor in process.at_work():
            actor.is_fenced, self.may_restart = False, True

    @rule(act=ACTS, trouble=st.sampled_from([*_TROUBLES, "busy"]), seconds=st.sampled_from([5.0, 8.0]), ending=ACTS)
    def others_observe_somebody(self, act: Act, trouble: str, seconds: float, ending: Act) -> None:
        """Who is in trouble, or takes long only; and then something happens to them."""
        actor = self.act(act)
        if not actor:
            return
        self.get_into_trouble(actor.process, trouble)
        process = self.another_process(actor)
        until = self.world.now() + seconds
        observer = self.call(process)
        while self.world.now() < until:
            if observer.done:
                self.world.advance(3)
                observer = self.call(process)
            else:
                observer.go_on()
        actor.process.recover()
        if not actor.done:
            self.end_request(actor, ending[2])

    def another_process(self, actor: Actor) -> Process:
        """One that is awake."""
        process = next(process for process in self.processes if process is not actor.process)
        process.is_asleep = False
        return process

    # What others do

    @rule(act=ACTS)
    def the_phone_logs_out(self, act: Act) -> None:
        self.act(act)
        self.log_out()

    def log_out(self) -> None:
        for client in self.platform.clients_of(self.organization_id):
            self.platform.disconnect(client.session)

    @rule(act=ACTS)
    def the_platform_revokes_its_tokens(self, act: Act) -> None:
        self.act(act)
        self.revoke_tokens()

    def revoke_tokens(self) -> None:
        for client in self.platform.clients_of(self.organization_id):
            self.platform.revoke_tokens(client.session)

    @rule(act=ACTS)
    def another_function_writes_a_setting(self, act: Act) -> None:
        self.act(act)
        for row in self.supabase.rows(self.organization_id):
            self.written.append(f"theirs{len(self.written)}")
            self.write(row["id"], row["settings"] | {self.written[-1]: 1})

    def write(self, row_id: str, settings: dict[str, Any]) -> None:
        """As other code of the product does: whole, and whatever has changed since it read."""
        self.supabase.execute(
            "update messenger_integrations set settings = %s, updated_at = %s where id = %s",
            json.dumps(settings),
            timestamp(self.world.now()),
            row_id,
        )
        self.world.claims.changed(None, settings, self.world.now())

    # What must hold

    @invariant()
    def no_second_client_no_second_row_and_nothing_saved_is_lost(self) -> None:
        clients = self.platform.clients_of(self.organization_id)
        stored = [row["settings"] for row in self.supabase.rows(self.organization_id)]
        assert len(stored) <= 1
        assert len(clients) <= self.most_clients()
        for found in stored:
            assert set(self.written) <= set(found)
            if "wppApiKey" in found:
                self.saved.add((found["wppApiKey"], found["wppAccountNumber"]))
        assert self.saved <= {(client.api_key, client.session) for client in clients}
        assert not self.saved or "wppApiKey" in stored[0]
        assert len(self.saved) <= 1 + self.recreations, "a holder whose claim was taken over changed the row"

    @invariant()
    def claims_are_respected(self) -> None:
        assert self.world.claims.problems == [], self.world.claims.problems

    @invariant()
    def a_running_session_is_not_started_again(self) -> None:
        if not self.may_restart and not self.world.claims.wall_clocks_mattered:
            assert [session.restarts for session in self.platform.sessions.values() if session.restarts] == []

    def check(self) -> None:
        self.no_second_client_no_second_row_and_nothing_saved_is_lost()
        self.claims_are_respected()
        self.a_running_session_is_not_started_again()

    def most_clients(self) -> int:
        return 1 + self.recreations

    def teardown(self) -> None:
        """All troubles end, everybody comes to an end, and then a call finds or makes all that was promised."""
        for actor in self.world.actors:
            actor.process.recover()
        for actor in self.world.actors:
            actor.to_the_end()
        self.world.advance(LATE)  # what is on the way arrives
        process = Process(self.world)
        session = self.session_in_the_end(process)
        (row,) = self.supabase.rows(self.organization_id)
        clients = {(client.api_key, client.session) for client in self.platform.clients_of(self.organization_id)}
        assert row["is_active"]
        assert (row["settings"]["wppApiKey"], session) in clients
        assert len(clients) <= self.most_clients()
        assert set(self.written) <= set(row["settings"])
        self.end_claims(process)

    def session_in_the_end(self, process: Process) -> str | None:
        last = Actor(process)
        last.to_the_end()
        assert last.error is None
        return last.session

    def end_claims(self, process: Process, seconds: float = 7) -> None:
        """No claim is left for ever, and no session unstarted."""
        self.world.advance(seconds)
        Actor(process).to_the_end()
        (row,) = self.supabase.rows(self.organization_id)
        assert not {"wppClaim", "wppStart"} & set(row["settings"])
        assert self.platform.sessions[row["settings"]["wppAccountNumber"]].started_at is not None
