"""State machines for Hypothesis: an organization among whose actions there are more than clicks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from tests.support.interleaving import Actor
from tests.support.organizations import ACTS, Act, OneOrganization

if TYPE_CHECKING:
    from emulator.supabase.app import SupabaseApp
    from tests.support.interleaving import Doing


class WithRecreations(OneOrganization):
    @rule(act=ACTS, doing=st.sampled_from(["connect", "recreate"]))
    def somebody_recreates(self, act: Act, doing: Doing) -> None:
        self.doing = doing
        self.act(act)


class WithDisconnects(OneOrganization):
    @rule(act=ACTS, doing=st.sampled_from(["connect", "disconnect", "reconcile"]))
    def somebody_disconnects_or_reconciles(self, act: Act, doing: Doing) -> None:
        self.doing = doing
        self.act(act)

    @rule(act=ACTS, is_stopped=st.booleans())
    def somebody_disconnects_meanwhile(self, act: Act, is_stopped: bool) -> None:
        self.doing = "connect"
        actor = self.act(act)
        if actor:
            if is_stopped:
                self.stop(actor.process)
            Actor(self.another_process(actor), "disconnect").to_the_end()
            actor.process.recover()
            actor.to_the_end()

    @invariant()
    def a_number_stays_disconnected(self) -> None:
        """Whoever read the row before leaves it so; whoever calls later may connect it again."""
        at = self.world.claims.disconnected_at
        looks = [actor.looked for actor in self.world.actors if actor.doing == "connect"]
        if at == float("inf") or any(at < looked < float("inf") for looked in looks):
            return
        (row,) = self.supabase.rows(self.organization_id)
        assert not row["is_active"]
        # How long a disconnection waits for the first start of a new client to show depends on the clocks of both.
        if not self.may_restart and len({process.skew for process in self.processes}) == 1:
            assert [it for it in self.platform.sessions.values() if it.started_at is not None] == []


class WithStuckSessions(WithDisconnects):
    """Sessions that take their time until they have a QR, or never have one, and phones that scan it."""

    def __init__(self, supabase: SupabaseApp) -> None:
        super().__init__(supabase)
        self.platform.settings.qr_delay = 5

    @rule(act=ACTS)
    def a_session_gets_stuck(self, act: Act) -> None:
        self.act(act)
        for client in self.platform.clients_of(self.organization_id):
            self.platform.stick(client.session)

    @rule(act=ACTS)
    def somebody_scans(self, act: Act) -> None:
        self.act(act)
        for client in self.platform.clients_of(self.organization_id):
            if self.platform.state(self.platform.sessions[client.session]) == "qr_required":
                self.platform.scan(client.session)

    @rule(act=ACTS)
    def a_while_passes(self, act: Act) -> None:
        self.act(act)
        self.world.advance(25)


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

    No response is lost here. Each time that somebody who has sent `create` is taken over, there may be one more client: the limit
    that the README states.
    """

    harmless = frozenset({"lose the request"})
    honours_idempotency_key = False

    def most_clients(self) -> int:
        return 1 + self.world.claims.creators_overtaken
