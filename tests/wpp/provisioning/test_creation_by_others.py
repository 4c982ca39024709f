"""Whoever finds somebody else at work on a number's client: how long they wait, and what they make of the result."""

from __future__ import annotations

import pytest

from tests.support.alone import GET, PATCH, POST, TIMED_OUT, Alone, answer
from wpp.errors import CreationInProgress, HolderRefused
from wpp.provisioning.creation import Creation
from wpp.provisioning.number import primary_number

THEIRS = {"wppClaim": {"id": "theirs", "beat": 1, "doing": "create"}}


def test_somebody_else_is_waited_for_until_they_are_found_dead(alone: Alone) -> None:
    row = alone.insert(settings=THEIRS)
    invocation = alone.begin()
    client = Creation(invocation, primary_number(alone.organization_id)).obtain(row)
    assert client.row.id == row.id
    assert client.was_created
    assert alone.waits == [*[0.2] * 3, *[0.4] * 4, *[0.8] * 4, 1.6]
    assert alone.calls() == [*[GET] * 12, PATCH, "create", "token", PATCH]
    assert invocation.upstream.trace.events == {"claim_taken_over": 1, "client_created": 1}


def test_looks_for_somebody_elses_client_come_every_1_6_seconds_in_the_end(alone: Alone) -> None:
    claims = [{"wppClaim": {"id": "theirs", "beat": beat, "doing": "create"}} for beat in range(25)]
    row = alone.insert(settings=claims[0])
    alone.instead(GET, *[lambda beat=beat: alone.write(**beat) for beat in claims])
    with pytest.raises(CreationInProgress):
        alone.obtain(row)
    assert alone.waits[11:] == [1.6] * len(alone.waits[11:])
    assert len(alone.waits) == 24


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
    assert alone.calls() == [GET] * 8


@pytest.mark.parametrize(
    ("seconds", "error"),
    [
        (6.7, f"UpstreamTimeout: Supabase did not answer in time ({GET})"),
        (6.8, "CreationInProgress: The connection is being created by another request; try again shortly"),
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
