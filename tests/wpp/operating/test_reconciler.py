"""How the reconciler goes over all numbers: page by page, at a bounded rate, whatever becomes of single ones."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from emulator.faults import Fault
from emulator.stack import Stack
from tests.support.fleet import Fleet, kinds, left
from wpp.errors import UpstreamBroken
from wpp.operating import reconciler
from wpp.operating.examination import Examination, examine
from wpp.operating.mending import mend
from wpp.provisioning.liveness import DEAD_AFTER

if TYPE_CHECKING:
    from collections.abc import Callable

    from wpp.runtime import Invocation
    from wpp.supabase.rows import Integration

GET = "rest.GET.messenger_integrations"


@pytest.fixture
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciler, "PAGE", 2)


def asked(times: int) -> Callable[[], bool]:
    """It is over once it was asked so often: before each page, each look, and each part of a wait."""
    asks = itertools.count()
    return lambda: next(asks) >= times


@pytest.mark.usefixtures("_small_pages")
def test_it_can_be_stopped_and_goes_on_where_it_stopped(fleet: Fleet) -> None:
    ids = sorted(fleet.insert() for _ in range(7))
    first = fleet.reconcile(is_over=asked(5))
    assert (fleet.reconciler.after, fleet.reconciler.is_complete) == (ids[1], False)
    fleet.insert(id="00000000-0000-4000-8000-000000000000")  # before the place where it goes on
    second = fleet.reconcile(after=fleet.reconciler.after)
    assert (fleet.reconciler.after, fleet.reconciler.is_complete) == (ids[-1], True)
    assert (sorted(first)[:2], sorted(second)) == (ids[:2], ids[2:])


def test_an_examination_that_was_cut_off_counts_as_not_made(fleet: Fleet) -> None:
    row_id = fleet.begin()
    outcomes = fleet.reconcile(fix=True, is_over=lambda: bool(fleet.sleeps))
    assert (outcomes, fleet.reconciler.after, fleet.reconciler.is_complete) == ({}, None, False)
    assert sum(fleet.sleeps) < 1
    assert "wppApiKey" not in fleet.settings(row_id)


def test_a_row_without_an_organization_does_not_stop_the_others() -> None:
    with Stack() as stack:
        fleet = Fleet(stack)
        begun = fleet.begin()
        stack.supabase.execute("alter table messenger_integrations alter column organization_id drop not null")
        nobodys = fleet.insert(is_active=True, settings={"theirs": 1})
        stack.supabase.execute("update messenger_integrations set organization_id = null where id = %s", nobodys)
        outcomes = fleet.reconcile(fix=True)
        assert left(outcomes[nobodys]) == {"row_unreadable"}
        assert left(outcomes[begun]) == set()
        assert fleet.settings(nobodys) == {"theirs": 1}
        stack.supabase.execute("delete from messenger_integrations where id = %s", begun)
        stack.supabase_server.received.clear()
        assert set(fleet.reconcile()) == {nobodys}
        assert not [sent for sent in stack.supabase_server.received if "in.()" in sent.request.query]


@pytest.mark.usefixtures("_small_pages")
def test_rows_that_come_and_go_meanwhile_do_no_harm(fleet: Fleet) -> None:
    ids = sorted(fleet.insert() for _ in range(6))
    with fleet.process() as process:
        outcomes = reconciler.Reconciler(process, fix=True, rate=1000).outcomes()
        first = next(outcomes)
        fleet.stack.supabase.execute("delete from messenger_integrations where id = %s", ids[0])
        later = fleet.insert(id="ffffffff-ffff-4fff-8fff-ffffffffffff")
        assert [first.row.id, *(outcome.row.id for outcome in outcomes)] == [*ids, later]


def test_a_large_row_does_not_hide_the_others_of_its_page(fleet: Fleet) -> None:
    ids = sorted([fleet.insert(settings={"theirs": "x" * 300_000}) for _ in range(9)])
    huge = fleet.insert(settings={"theirs": "x" * 1_100_000})
    outcomes = fleet.reconcile()
    assert sorted(outcomes) == sorted([*ids, huge])
    assert [row_id for row_id, outcome in outcomes.items() if outcome.found] == [huge]


def test_one_number_that_fails_does_not_stop_the_others(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [fleet.begin() for _ in range(5)]

    def break_one(invocation: Invocation, seen: Examination) -> None:
        if seen.row.id == ids[2]:
            raise RuntimeError("key_0123456789 is not for anybody's eyes")
        mend(invocation, seen)

    monkeypatch.setattr(reconciler, "mend", break_one)
    outcomes = fleet.reconcile(fix=True)
    assert {row_id for row_id in ids if outcomes[row_id].left} == {ids[2]}
    assert outcomes[ids[2]].problems == ("an unforeseen error, RuntimeError: see the log",)
    assert len(fleet.stack.platform.clients) == 4


def test_one_number_that_cannot_be_examined_does_not_stop_the_others(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [fleet.begin() for _ in range(5)]

    def break_one(invocation: Invocation, row: Integration, primary_id: str | None) -> Examination:
        if row.id == ids[2]:
            raise RecursionError
        return examine(invocation, row, primary_id)

    monkeypatch.setattr(reconciler, "examine", break_one)
    outcomes = fleet.reconcile(fix=True)
    assert left(outcomes[ids[2]]) == {"not_examined"}
    assert len(fleet.stack.platform.clients) == 4


def test_dead_claims_are_waited_for_once_per_page(fleet: Fleet) -> None:
    ids = [fleet.begin() for _ in range(5)]
    outcomes = fleet.reconcile()
    assert [kinds(outcomes[row_id]) for row_id in ids] == [{"claim_dead", "unfinished"}] * 5
    assert DEAD_AFTER <= sum(fleet.sleeps) < DEAD_AFTER + 1


def test_where_there_is_no_doubt_nothing_is_waited_for(fleet: Fleet) -> None:
    row_id = fleet.connect()
    fleet.change(row_id, wppWebhookPending=True)
    assert kinds(fleet.reconcile()[row_id]) == {"webhook_pending"}
    assert sum(fleet.sleeps) < 1


def test_the_platform_is_asked_at_a_bounded_rate(fleet: Fleet) -> None:
    ids = [fleet.connect() for _ in range(5)]
    assert set(fleet.reconcile(rate=2)) == set(ids)
    assert sum(fleet.sleeps) > 1
    slowly = sum(fleet.sleeps)
    fleet.reconcile(rate=1000)
    assert sum(fleet.sleeps) < slowly


def test_however_slow_it_is_told_to_be_it_can_be_stopped(fleet: Fleet) -> None:
    for _ in range(3):
        fleet.connect()
    fleet.reconcile(rate=0.001, is_over=lambda: bool(fleet.sleeps))
    assert (fleet.reconciler.is_complete, sum(fleet.sleeps) < 5) == (False, True)


def test_a_page_that_cannot_be_read_ends_it_and_its_place_is_known(fleet: Fleet) -> None:
    ids = sorted(fleet.insert() for _ in range(3))
    fleet.stack.supabase_server.inject(Fault(GET, status=503, skip=2, times=None))
    with pytest.raises(UpstreamBroken):
        fleet.reconcile()
    assert (fleet.reconciler.after, fleet.reconciler.is_complete) == (ids[-1], False)


def test_reports_of_two_primaries_go_over_pages_and_organizations_of_large_rows(fleet: Fleet) -> None:
    pairs = []
    for _ in range(3):
        first = fleet.connect()
        pairs.append(fleet.insert(fleet.row(first)["organization_id"], is_active=True))
        fleet.change(first, wppRequests={"x": "x" * 400_000})
    outcomes = fleet.reconcile()
    assert {row_id for row_id, outcome in outcomes.items() if "two_primaries" in kinds(outcome)} == set(pairs)


def test_addresses_stay_short_enough_for_every_gateway(fleet: Fleet) -> None:
    for _ in range(reconciler.PAGE):
        fleet.insert()
    fleet.stack.supabase_server.clear()
    assert len(fleet.reconcile()) == reconciler.PAGE
    assert max(len(received.request.query) for received in fleet.stack.supabase_server.received) < 6000
