"""Whoever finds somebody else at work on a number's client: how long they wait, and what they make of the result."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from tests.support.alone import GET, PATCH, POST, TIMED_OUT, Alone, answer
from wpp.errors import CreationInProgress, HolderRefused
from wpp.provisioning.creation import Creation
from wpp.provisioning.number import primary_number
from wpp.provisioning.pauses import pause_after

THEIRS = {"wppClaim": {"id": "theirs", "beat": 1, "doing": "create"}}


def test_somebody_else_is_waited_for_until_they_are_found_dead(alone: Alone) -> None:
    row = alone.insert(settings=THEIRS)
    invocation = alone.begin()
    client = Creation(invocation, primary_number(alone.organization_id)).obtain(row)
    assert client.row.id == row.id
    assert client.was_created
    assert sum(alone.waits) == pytest.approx(6, abs=0.5)
    assert alone.calls() == [*[GET] * len(alone.waits), PATCH, "create", "token", PATCH]
    assert invocation.upstream.trace.events == {"claim_taken_over": 1, "client_created": 1}


def test_looks_for_somebody_elses_client_come_at_a_share_of_the_time_waited(alone: Alone) -> None:
    claims = [{"wppClaim": {"id": "theirs", "beat": beat, "doing": "create"}} for beat in range(60)]
    row = alone.insert(settings=claims[0])
    alone.instead(GET, *[lambda beat=beat: alone.write(**beat) for beat in claims])
    with pytest.raises(CreationInProgress):
        alone.obtain(row)
    waited = [sum(alone.waits[:looks]) for looks in range(len(alone.waits))]
    assert alone.waits == pytest.approx([pause_after(seconds, 1) for seconds in waited])


def test_they_come_less_often_where_many_look(alone: Alone) -> None:
    row, looked_for = alone.insert(settings=THEIRS), alone.runtime.memory.looked_for
    counts: list[int] = []
    alone.instead(GET, lambda: counts.append(len(looked_for)))
    with ExitStack() as others:
        for number in range(49):
            others.enter_context(looked_for.using(f"another's {number}"))
        with pytest.raises(CreationInProgress):
            alone.obtain(row, 2)
        assert len(looked_for) == 49
    assert set(alone.waits) == {0.5}
    assert counts == [50]


def test_each_that_looks_counts(alone: Alone) -> None:
    row, looked_for = alone.insert(settings=THEIRS), alone.runtime.memory.looked_for
    counts: list[int] = []

    def another_call() -> None:
        alone.instead(GET, lambda: counts.append(len(looked_for)))
        with pytest.raises(CreationInProgress):
            alone.obtain(row, 2)

    alone.instead(GET, another_call)
    with pytest.raises(CreationInProgress):
        alone.obtain(row, 4)
    assert counts == [2]


@pytest.mark.parametrize(("later", "reads"), [(0.1, []), (0.0, [GET])])
def test_a_row_that_this_process_has_saved_since_the_last_look_is_not_read(
    alone: Alone, later: float, reads: list[str]
) -> None:
    row = alone.insert(settings=THEIRS)
    alone.write(wppApiKey="key_0123456789", wppAccountNumber="client_1", wppClaim=None)
    saved = alone.stored(), alone.clock.monotonic() + later
    alone.runtime.memory.rows_saved.put(row.id, saved)
    client = alone.obtain(row)
    assert client.platform.credentials == ("key_0123456789", "client_1")
    assert (alone.waits, alone.calls()) == ([0.15], reads)


def test_the_client_that_somebody_else_has_made_meanwhile_is_used(alone: Alone) -> None:
    row = alone.insert(settings=THEIRS)
    made = {"wppApiKey": "key_0123456789", "wppAccountNumber": "client_1", "wppClaim": None}
    alone.instead(GET, None, lambda: alone.write(**made))
    client = alone.obtain(row)
    assert (client.row, client.claim, client.may_connect) == (alone.stored(), None, True)
    assert client.platform.credentials == ("key_0123456789", "client_1")
    assert alone.calls() == [GET, GET]


def test_whoever_waits_until_their_deadline_is_told_to_come_back(alone: Alone) -> None:
    row = alone.insert(settings=THEIRS)
    with pytest.raises(CreationInProgress) as caught:
        alone.obtain(row, 4)
    assert caught.value.retry_after == 6
    assert alone.calls() == [GET] * 20


@pytest.mark.parametrize(
    ("seconds", "error"),
    [
        (6.8, f"UpstreamTimeout: Supabase did not answer in time ({GET})"),
        (6.9, "CreationInProgress: The connection is being created by another request; try again shortly"),
    ],
)
def test_a_look_that_fails_is_an_error_unless_it_took_all_the_time(alone: Alone, seconds: float, error: str) -> None:
    row = alone.insert(settings=THEIRS)
    alone.takes(GET, seconds)
    alone.instead(GET, TIMED_OUT, TIMED_OUT)
    assert alone.outcome(lambda: alone.obtain(row, 8)) == error


def test_a_refusal_is_shared_with_whoever_waited_for_it(alone: Alone) -> None:
    row = alone.insert(settings=THEIRS)
    failed = {"failed": "theirs", "code": "supabase_refused", "problem": "Supabase refused"}
    alone.instead(GET, lambda: alone.write(wppClaim=failed))
    with pytest.raises(HolderRefused, match="Supabase refused") as caught:
        alone.obtain(row)
    assert caught.value.code == "supabase_refused"


@pytest.mark.parametrize("whose", ["theirs", ""])
def test_a_refusal_of_before_is_nothing_to_whoever_comes_now(alone: Alone, whose: str) -> None:
    failed = {"failed": whose, "code": "supabase_refused", "problem": "Supabase refused"}
    assert alone.obtain(alone.insert(settings={"wppClaim": failed})).was_created


def test_whoever_loses_the_claim_waits_for_the_new_holder(alone: Alone) -> None:
    theirs = {"wppApiKey": "key_0123456789", "wppAccountNumber": "client_1", "wppClaim": None}
    alone.instead("token", lambda: alone.write(**theirs))
    alone.instead(PATCH, answer(200, []))
    with alone.logging():
        client = alone.obtain()
    assert client.platform.credentials == ("key_0123456789", "client_1")
    assert client.claim is None
    assert alone.calls() == [POST, "create", "token", PATCH, GET, GET]
    assert alone.logged[1:] == [("WARNING", "the claim was taken over; waiting for the new holder", alone.fields())]


def test_a_number_that_somebody_disconnects_meanwhile_is_returned_and_not_to_be_connected(alone: Alone) -> None:
    row = alone.insert(settings=THEIRS)
    made = {"wppApiKey": "key_0123456789", "wppAccountNumber": "client_1", "wppClaim": None, "wppDisconnected": True}
    alone.instead(GET, lambda: alone.write(**made))
    assert not alone.obtain(row).may_connect


@pytest.mark.parametrize("before", [{}, {"wppApiKey": "key_0123456789", "wppAccountNumber": "client_1"}])
def test_a_number_that_somebody_connects_again_and_disconnects_meanwhile_stays_disconnected(
    alone: Alone, before: dict[str, str]
) -> None:
    row = alone.insert(settings=THEIRS | before | {"wppDisconnected": True})
    made = {"wppApiKey": "key_0123456789", "wppAccountNumber": "client_1"}
    between = [lambda: alone.write(**made, wppDisconnected=None)] if before else []
    alone.instead(GET, *between, lambda: alone.write(**made, wppDisconnected=True, wppClaim=None))
    assert not alone.obtain(row).may_connect


def test_a_number_that_was_disconnected_before_is_connected_again_although_somebody_was_at_work(alone: Alone) -> None:
    made = {"wppApiKey": "key_0123456789", "wppAccountNumber": "client_1", "wppDisconnected": True}
    row = alone.insert(settings=THEIRS | made)
    alone.instead(GET, None, lambda: alone.write(wppClaim=None))
    assert alone.obtain(row).may_connect


def test_a_number_that_was_disconnected_before_is_connected_again(alone: Alone) -> None:
    made = {"wppApiKey": "key_0123456789", "wppAccountNumber": "client_1", "wppDisconnected": True}
    assert alone.obtain(alone.insert(settings=made)).may_connect


def test_credentials_of_a_number_that_somebody_disconnects_meanwhile_are_not_replaced(alone: Alone) -> None:
    used = alone.connected_before()
    alone.write(wppDisconnected=True)
    client = alone.obtain(alone.stored(), replacing=used)
    assert (client.row, client.may_connect, client.was_created) == (alone.stored(), False, False)


def test_credentials_that_somebody_wants_replaced_are_replaced_in_any_case(alone: Alone) -> None:
    used = alone.connected_before()
    alone.write(wppDisconnected=True)
    client = alone.obtain(alone.stored(), replacing=used, stop_first=True)
    assert (client.may_connect, client.was_created) == (True, True)
