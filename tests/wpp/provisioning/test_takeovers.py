"""A holder is held up at each of its requests until others have taken its claim over, and then goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.interleaving import Actor, Process
from tests.support.machines import WithDisconnects
from tests.support.organizations import PATCH, OneOrganization
from tests.support.scenarios import SCENARIOS, Scenario, at_each_request, begun
from wpp.errors import DeadlinePassed, UpstreamBroken
from wpp.secret import PlainSecret

if TYPE_CHECKING:
    from emulator.supabase.app import SupabaseApp
    from tests.support.interleaving import Outcome


TELLING = [name for name, scenario in SCENARIOS.items() if scenario.refused]
"""The scenarios that end with a refusal: they meet all that the others do."""


def others_take_over(organization: OneOrganization, *, to_the_end: bool) -> None:
    """Calls of one process, until one of them holds the claim or all is done."""
    for _ in range(3):
        other = Actor(organization.processes[1])
        while not other.done and (to_the_end or organization.world.claims.holder is not other):
            other.go_on()
        if not other.done:
            return
        organization.world.advance(7)


@pytest.mark.parametrize(
    ("trouble", "ending"), [("stopped", "answer"), ("asleep", "answer"), ("cut off", "lose the request")]
)
@pytest.mark.parametrize("scenario", TELLING)
def test_whoever_was_taken_over_doubles_nothing_and_changes_nothing(
    supabase: SupabaseApp, scenario: str, trouble: str, ending: Outcome
) -> None:
    for organization, holder in at_each_request(supabase, SCENARIOS[scenario]):
        began = organization.world.now()
        organization.get_into_trouble(holder.process, "cut off" if trouble == "cut off" else "stopped")
        others_take_over(organization, to_the_end=trouble != "stopped")
        if trouble == "asleep":
            organization.wake_up_unaware(holder.process, organization.world.now() - began)
        holder.process.recover()
        organization.end_request(holder, ending)
        holder.to_the_end()
        organization.check()


@pytest.mark.parametrize("ending", ["lose the answer", "arrive late", "die, arrive late"])
@pytest.mark.parametrize("scenario", TELLING)
def test_a_request_without_a_response_is_neither_lost_nor_doubled(
    supabase: SupabaseApp, scenario: str, ending: Outcome
) -> None:
    for organization, holder in at_each_request(supabase, SCENARIOS[scenario]):
        organization.end_request(holder, ending)
        holder.to_the_end()
        organization.check()
        others_take_over(organization, to_the_end=True)
        organization.check()


def test_a_create_that_takes_14_s_is_not_taken_over(supabase: SupabaseApp) -> None:
    organization = OneOrganization(supabase)
    organization.the_world_begins(skews=[0.0, 7200.0, -7200.0], starts=True)
    organization.platform.settings.honours_idempotency_key = False
    holder, *observers = [Actor(process) for process in organization.processes]
    while holder.pending != "create":
        holder.go_on()
    world, looks = organization.world, 0
    sent = world.now()
    while world.now() < sent + 12:
        observers[looks % 2].go_on()
        looks += 1
        assert world.claims.holder is holder
    world.advance(sent + 14 - world.now())
    for actor in (holder, *observers):
        actor.to_the_end()

    assert looks > 12
    assert [actor.calls.count("create") for actor in (holder, *observers)] == [1, 0, 0]
    assert holder.session is not None
    assert {observer.session for observer in observers} == {holder.session}
    organization.teardown()
    organization.check()


def test_a_holder_whose_claim_other_code_wiped_out_goes_on_under_it(supabase: SupabaseApp) -> None:
    wiped = 0
    for organization, holder in at_each_request(supabase, Scenario()):
        organization.platform.settings.honours_idempotency_key = False
        rows = supabase.rows(organization.organization_id)
        if rows and "wppApiKey" not in rows[0]["settings"]:
            organization.write(rows[0]["id"], {"theirs": 1})
            organization.world.advance(3)
            observer = Actor(organization.processes[1])
            observer.go_on()
            assert "wppClaim" in supabase.rows(organization.organization_id)[0]["settings"]
            holder.to_the_end()
            observer.to_the_end()
            assert (holder.error, observer.error) == (None, None)
            assert len(organization.platform.clients_of(organization.organization_id)) == 1
            assert supabase.rows(organization.organization_id)[0]["settings"]["theirs"] == 1
            wiped += 1
    assert wiped == 2  # before it creates, and before it saves


@pytest.mark.parametrize("scenario", ["a first client, left offline", "an ended session"])
def test_a_number_that_somebody_disconnects_meanwhile_stays_disconnected(supabase: SupabaseApp, scenario: str) -> None:
    for organization, holder in at_each_request(supabase, SCENARIOS[scenario], WithDisconnects):
        Actor(organization.processes[1], "disconnect").to_the_end()
        holder.to_the_end()
        organization.check()
        organization.a_number_stays_disconnected()  # type: ignore[attr-defined] # it is one of those


class LongInComing(PlainSecret):
    """Others take the claim over while it is fetched, as they may in the seconds that a hanging AWS takes."""

    def __init__(self, organization: OneOrganization) -> None:
        super().__init__(organization.platform.wpp_secret)
        self._organization = organization

    def value(self) -> str:
        holder = self._organization.processes[0]
        holder.is_cut_off = True
        others_take_over(self._organization, to_the_end=False)
        holder.recover()
        return super().value()


def test_nothing_is_created_once_the_claim_was_taken_over_while_the_secret_was_fetched(supabase: SupabaseApp) -> None:
    organization = begun(OneOrganization(supabase), Scenario())[0]
    organization.platform.settings.honours_idempotency_key = False
    holder = Actor(organization.processes[0], wpp_secret=LongInComing(organization))
    holder.to_the_end()
    assert "create" not in holder.calls
    organization.teardown()
    organization.check()


@pytest.mark.parametrize("scenario", ["a first client, left offline", "an ended session"])
def test_a_start_whose_claim_cannot_be_confirmed_is_not_sent_and_leaves_no_claim(
    supabase: SupabaseApp, scenario: str
) -> None:
    organization, holder = begun(OneOrganization(supabase), SCENARIOS[scenario], since_start=1)
    while not (holder.pending == "status" and organization.world.claims.holder is holder):
        holder.go_on()
    holder.process.background = "lose the request"
    organization.world.advance(5)
    failures = 0
    while not holder.done:
        fails = holder.pending == PATCH and failures < 6
        failures += fails
        holder.go_on("lose the request" if fails else "answer")

    assert isinstance(holder.error, UpstreamBroken)
    assert "start" not in holder.calls
    (row,) = supabase.rows(organization.organization_id)
    assert "wppClaim" not in row["settings"]
    organization.teardown()


@pytest.mark.parametrize(("seconds", "confirmations"), [(0.5, 0), (1.5, 1)])
def test_a_start_is_sent_right_after_its_claim_was_confirmed(
    supabase: SupabaseApp, seconds: float, confirmations: int
) -> None:
    """So that whoever finds the claim dead knows how long ago it may have been sent."""
    organization, holder = begun(OneOrganization(supabase), SCENARIOS["a first client, left offline"])
    while not (holder.pending == "status" and organization.world.claims.holder is holder):
        holder.go_on()
    organization.world.advance(seconds)
    sent = len(holder.calls)
    while holder.pending != "start":
        holder.go_on()
    assert holder.calls[sent:].count(PATCH) == confirmations
    holder.to_the_end()
    organization.teardown()
    organization.check()


def test_a_start_of_somebody_who_died_has_its_time_although_whoever_took_over_gave_up(supabase: SupabaseApp) -> None:
    organization, holder = begun(OneOrganization(supabase), SCENARIOS["an ended session"])
    while holder.pending != "start":
        holder.go_on()
    holder.go_on("die, arrive late")
    Actor(organization.processes[1]).to_the_end()
    organization.world.advance(6.5)
    second = Actor(organization.processes[1])
    while not second.done:
        is_settling = second.pending == "status" and organization.world.claims.holder is second
        second.go_on("lose the request" if is_settling else "answer")
    assert isinstance(second.error, UpstreamBroken)
    (row,) = supabase.rows(organization.organization_id)
    assert "wppClaim" not in row["settings"]
    third = Actor(organization.processes[2])
    third.to_the_end()
    assert "start" not in third.calls
    organization.teardown()
    organization.check()


@pytest.mark.parametrize("scenario", ["a first client, left offline", "a recreation"])
def test_credentials_that_could_not_be_saved_in_time_are_saved_with_the_release(
    supabase: SupabaseApp, scenario: str
) -> None:
    organization, holder = begun(OneOrganization(supabase), SCENARIOS[scenario])
    organization.platform.settings.honours_idempotency_key = False
    clients = organization.platform.clients_of
    known = len(clients(organization.organization_id))
    while len(clients(organization.organization_id)) == known or holder.pending != PATCH:
        holder.go_on()
    organization.world.advance(27.5)
    holder.to_the_end()
    assert isinstance(holder.error, DeadlinePassed)
    (row,) = supabase.rows(organization.organization_id)
    created = clients(organization.organization_id)[-1]
    assert (row["settings"]["wppApiKey"], row["settings"]["wppAccountNumber"]) == (created.api_key, created.session)
    assert "wppClaim" not in row["settings"]
    other = Actor(organization.processes[1])
    other.to_the_end()
    assert other.session == created.session
    assert len(clients(organization.organization_id)) == known + 1
    organization.teardown()


def test_whoever_gives_up_keeps_what_the_row_says_of_the_last_start(supabase: SupabaseApp) -> None:
    """That it had a QR, too: a phone may have scanned it, so the session is not to be restarted."""
    organization, _ = begun(OneOrganization(supabase), SCENARIOS["an ended session"], since_start=1)
    (row,) = supabase.rows(organization.organization_id)
    before = row["settings"] | {"wppQrShown": True}
    organization.write(row["id"], before)
    second = Actor(Process(organization.world, skew=-4.5))
    while not second.done:
        is_settling = second.pending == "status" and organization.world.claims.holder is second
        second.go_on("lose the request" if is_settling else "answer")
    assert isinstance(second.error, UpstreamBroken)
    (row,) = supabase.rows(organization.organization_id)
    assert row["settings"] == before
    organization.teardown()


def test_a_start_whose_claim_took_long_to_confirm_is_sent_only_after_it_was_confirmed_again(
    supabase: SupabaseApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    organization, holder = begun(OneOrganization(supabase), SCENARIOS["a first client, left offline"])
    while not (holder.pending == "status" and organization.world.claims.holder is holder):
        holder.go_on()
    organization.world.advance(1.5)  # so that it has to be confirmed
    delays, send = [2.0, 2.0], Actor.send

    def slow(actor: Actor, method: str, *rest: Any) -> tuple[int, bytes]:
        answer = send(actor, method, *rest)
        if actor is holder and method == "PATCH" and delays:
            organization.world.advance(delays.pop())
        return answer

    monkeypatch.setattr(Actor, "send", slow)
    sent = len(holder.calls)
    while holder.pending != "start":
        holder.go_on()
    assert holder.calls[sent:].count(PATCH) == 3
    holder.to_the_end()
    organization.teardown()
    organization.check()
