"""The held claim on real rows: its beats, its fence, and that nobody changes what is no longer theirs."""

from __future__ import annotations

import json
import logging
import math
import time
import uuid
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from emulator.faults import Fault
from tests.support.servers import wait_for
from wpp.clock import Clock, Ticker
from wpp.config import config_from
from wpp.errors import DeadlinePassed, UpstreamRefused
from wpp.platform.client import Credentials
from wpp.provisioning import claim as claims
from wpp.provisioning.claim import ClaimLost, HeldClaim
from wpp.provisioning.record import Record, record_of, writable_record_of
from wpp.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from emulator.stack import Stack
    from wpp.clock import Tick
    from wpp.runtime import Invocation
    from wpp.supabase.rows import Integration

PATCH = "rest.PATCH.messenger_integrations"


class Time:
    """A monotonic clock that the test moves."""

    def __init__(self) -> None:
        self.passed = 0.0

    def monotonic(self) -> float:
        return 1000.0 + self.passed


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def invocation(stack: Stack, clock: Time) -> Iterator[Invocation]:
    tickers: list[Ticker] = []

    def start_ticker(first: float, tick: Tick) -> Ticker:
        tickers.append(Ticker(first, tick))
        return tickers[-1]

    with closing(
        Runtime(config_from(stack.environment()), Clock(monotonic=clock.monotonic), None, start_ticker)
    ) as runtime:
        yield runtime.begin("test", "request-1")
    for ticker in tickers:  # of claims that a test leaves held
        ticker.stop()


@pytest.fixture
def row(stack: Stack, invocation: Invocation) -> Integration:
    organization_id = str(uuid.uuid4())
    stack.supabase.add_user(f"{organization_id}@example.com", organization_id=organization_id)
    stack.supabase.insert_row(organization_id=organization_id, settings={"theirs": 1})
    return invocation.rows.of_organization(organization_id)[0]


def free(_: Integration) -> bool:
    return True


def taken(invocation: Invocation, row: Integration) -> HeldClaim:
    claim = HeldClaim(invocation, "create")
    current = invocation.rows.by_id(row.id)
    assert current
    claim.take(current, free)
    assert claim.row
    return claim


def stored(invocation: Invocation, row: Integration) -> Record:
    current = invocation.rows.by_id(row.id)
    assert current
    return record_of(current)


def unchanged(record: Record) -> Record:
    return record


def test_a_claim_is_taken_beats_with_each_change_and_is_released(invocation: Invocation, row: Integration) -> None:
    claim = taken(invocation, row)
    first = stored(invocation, row).claim
    claim.change(unchanged)
    second = stored(invocation, row).claim
    assert first
    assert second
    assert (first.id, first.doing) == (second.id, second.doing) == (claim.id, "create")
    assert first.beat != second.beat
    claim.release()
    assert stored(invocation, row).claim is None
    assert stored(invocation, row).settings["theirs"] == 1


def test_a_claim_that_is_not_free_is_not_taken(invocation: Invocation, row: Integration) -> None:
    holder = taken(invocation, row)
    late = HeldClaim(invocation, "create")
    late.take(row, lambda current: record_of(current).claim is None)
    assert late.row is None
    late.release()  # must not touch the holder's
    assert stored(invocation, row).claim
    holder.change(unchanged)


def test_of_many_who_take_a_claim_at_once_one_holds_it(stack: Stack, row: Integration) -> None:
    from concurrent.futures import ThreadPoolExecutor

    runtime = Runtime(config_from(stack.environment()))

    def take(_: int) -> bool:
        claim = HeldClaim(runtime.begin("test", "r", 20), "create")
        claim.take(row, lambda current: record_of(current).claim is None)
        return claim.row is not None

    with ThreadPoolExecutor(10) as threads:
        assert sum(threads.map(take, range(10))) == 1
    runtime.close()


def test_a_holder_whose_claim_was_taken_over_changes_nothing_any_more(invocation: Invocation, row: Integration) -> None:
    first = taken(invocation, row)
    second = taken(invocation, row)
    with pytest.raises(ClaimLost):
        first.change(lambda record: record.completed(Credentials("key_0123456789", "s"), 1.0), active=True)
    with pytest.raises(ClaimLost):
        first.change(unchanged, release=True)
    first.release(UpstreamRefused("platform", "create", "refused"))
    record = stored(invocation, row)
    assert record.credentials is None
    assert record.claim
    assert record.claim.id == second.id


def test_a_claim_that_vanished_is_put_back_and_credentials_are_saved(
    stack: Stack, invocation: Invocation, row: Integration
) -> None:
    claim = taken(invocation, row)
    overwrite(stack, row, {"theirs": 2})
    claim.change(unchanged)
    assert stored(invocation, row).claim
    overwrite(stack, row, {"theirs": 3})
    claim.change(lambda record: record.completed(Credentials("key_0123456789", "s"), 1.0), active=True)
    record = stored(invocation, row)
    assert record.credentials == Credentials("key_0123456789", "s")
    assert record.settings["theirs"] == 3


def test_a_claim_that_vanished_while_credentials_came_is_lost(
    stack: Stack, invocation: Invocation, row: Integration
) -> None:
    claim = taken(invocation, row)
    overwrite(stack, row, {"wppApiKey": "key_of_another", "wppAccountNumber": "s"})
    with pytest.raises(ClaimLost):
        claim.change(lambda record: record.completed(Credentials("key_0123456789", "s"), 1.0))
    assert stored(invocation, row).credentials == Credentials("key_of_another", "s")


def test_a_released_claim_is_never_put_back_by_a_late_beat(invocation: Invocation, row: Integration) -> None:
    claim = taken(invocation, row)
    claim.release()
    with pytest.raises(ClaimLost):
        claim.change(unchanged)
    assert stored(invocation, row).claim is None


def test_there_is_time_to_release_a_claim_after_the_work_took_all_of_its_own(
    invocation: Invocation, row: Integration, clock: Time
) -> None:
    claim = taken(invocation, row)
    clock.passed += 27.05  # of the 28 seconds that a call has
    with pytest.raises(DeadlinePassed):
        claim.change(unchanged)
    claim.release()
    clock.passed = 0
    assert stored(invocation, row).claim is None


def test_the_claim_is_confirmed_anew_only_where_others_may_have_found_it_dead(
    stack: Stack, invocation: Invocation, row: Integration, clock: Time
) -> None:
    claim = taken(invocation, row)
    stack.supabase_server.clear()
    clock.passed += claims.TRUSTED_SECONDS - 0.5
    claim.confirm()
    assert stack.supabase_server.count(PATCH) == 0
    claim.confirm(claims.TRUSTED_SECONDS - 1)
    assert stack.supabase_server.count(PATCH) == 1
    claim.confirm(1)
    assert stack.supabase_server.count(PATCH) == 1
    clock.passed += claims.TRUSTED_SECONDS
    claim.confirm()
    assert stack.supabase_server.count(PATCH) == 2
    second = taken(invocation, row)
    clock.passed += claims.TRUSTED_SECONDS
    with pytest.raises(ClaimLost):
        claim.confirm()
    second.release()


def test_a_holder_beats_while_it_works_and_not_after(
    stack: Stack, invocation: Invocation, row: Integration, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Tick] = []
    start_ticker = invocation.runtime.start_ticker

    def counted(first: float, tick: Tick) -> Ticker:
        def counted_tick() -> float | None:
            begun.append(tick)
            return tick()

        return start_ticker(first, counted_tick)

    monkeypatch.setattr(invocation.runtime, "start_ticker", counted)
    monkeypatch.setattr(claims, "BEAT_SECONDS", 0.05)
    claim = taken(invocation, row)
    wait_for(lambda: stack.supabase_server.count(PATCH) >= 4)
    beat = stored(invocation, row).claim
    assert beat
    assert beat.beat
    claim.release()
    released = len(begun)
    time.sleep(0.3)
    assert len(begun) == released


def test_a_beat_never_goes_back(invocation: Invocation, row: Integration) -> None:
    """Whoever saw an earlier one a while ago would take the claim for dead when it came again."""
    claim = taken(invocation, row)
    beats: list[int | None] = []

    def change(record: Record) -> Record:
        if not beats:  # another thread beats while this change is on its way
            beats.append(held_beat(claim.change(unchanged)))
        return record

    beats.append(held_beat(claim.change(change)))
    beats.append(held_beat(claim.change(unchanged)))
    assert beats == sorted({beat for beat in beats if beat is not None})
    claim.release()


def test_a_beat_changes_nothing_of_what_the_holder_says_it_does(invocation: Invocation, row: Integration) -> None:
    claim = taken(invocation, row)
    before = claim.row
    assert before
    claim.change(unchanged, doing="start")
    claim.doing, claim.row = "create", before  # as a beat sees it that began before that
    assert record_of(claim.change(unchanged)).claim == (claim.id, 2, "start")
    claim.release()


def held_beat(row: Integration) -> int | None:
    held = record_of(row).claim
    return held and held.beat


def test_a_beat_that_fails_is_repeated(
    stack: Stack, invocation: Invocation, row: Integration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(claims, "_SECONDS_AFTER_A_FAILED_BEAT", 0.05)
    claim = taken(invocation, row)
    stack.supabase_server.inject(Fault(PATCH, status=503, times=4))
    give_up = time.monotonic() + 10
    current = stored(invocation, row).claim
    while current and not current.beat and time.monotonic() < give_up:
        time.sleep(0.02)
        current = stored(invocation, row).claim
    assert current
    assert current.beat
    claim.release()


def failing(times: float, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What nobody foresaw happens to so many changes of a row; the list grows with each."""
    happened: list[int] = []

    def fail(row: Integration) -> Record:
        if len(happened) >= times:
            return writable_record_of(row)
        happened.append(1)
        raise ZeroDivisionError

    monkeypatch.setattr(claims, "writable_record_of", fail)
    return happened


def test_a_holder_goes_on_beating_after_an_unforeseen_error_which_is_logged(
    invocation: Invocation, row: Integration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(claims, "_SECONDS_AFTER_A_FAILED_BEAT", 0.05)
    logged: list[logging.LogRecord] = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", logged.append)
    logging.getLogger("wpp").addHandler(handler)
    try:
        claim = taken(invocation, row)
        happened = failing(2, monkeypatch)
        wait_for(lambda: len(happened) == 2)
        before = stored(invocation, row).claim
        wait_for(lambda: stored(invocation, row).claim != before)
        claim.release()
    finally:
        logging.getLogger("wpp").removeHandler(handler)
    assert [record.exc_info[0] for record in logged if record.exc_info] == [ZeroDivisionError] * 2


def test_beats_end_at_the_deadline_whatever_goes_wrong(
    stack: Stack, row: Integration, monkeypatch: pytest.MonkeyPatch, clock: Time
) -> None:
    ticks: list[Callable[[], float | None]] = []

    def start_ticker(_: float, tick: Callable[[], float | None]) -> Ticker:
        ticks.append(tick)
        return Ticker(3600, tick)

    environment = config_from(stack.environment())
    with closing(Runtime(environment, Clock(monotonic=clock.monotonic), start_ticker=start_ticker)) as runtime:
        claim = taken(runtime.begin("test", "request-1", 60), row)
        happened = failing(math.inf, monkeypatch)
        assert ticks[0]() is not None
        clock.passed += 60
        assert ticks[0]() is None
        assert len(happened) == 1
        claim.drop()


def test_the_response_to_a_beat_may_be_lost(stack: Stack, invocation: Invocation, row: Integration) -> None:
    claim = taken(invocation, row)
    stack.supabase_server.inject(Fault(PATCH, "reset", after_effect=True))
    claim.change(unchanged)
    current = stored(invocation, row).claim
    assert current
    assert current.beat == 1
    claim.release()


def overwrite(stack: Stack, row: Integration, settings: dict[str, Any]) -> None:
    sql = "update messenger_integrations set settings = %s, updated_at = now() where id = %s"
    stack.supabase.execute(sql, json.dumps(settings), row.id)
