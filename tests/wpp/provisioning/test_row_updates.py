"""What one call writes into a row of what it learned, whole: before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.alone import BEGIN, WEBHOOK_HASH, Alone, answer
from wpp.platform.state import SessionState, State
from wpp.platform.token import AccessToken
from wpp.provisioning.claim import HeldClaim
from wpp.provisioning.client import stored_client
from wpp.provisioning.idempotency import KeyedRequest
from wpp.provisioning.updates import RowUpdates

if TYPE_CHECKING:
    from wpp.runtime import Invocation
    from wpp.supabase.rows import Integration

KEYS: dict[str, Any] = {"wppApiKey": "key_0123456789", "wppAccountNumber": "client_1"}
USED = {**KEYS, "wppPaired": False, "wppWebhookHash": WEBHOOK_HASH}
THEIRS = {"wppClaim": {"id": "theirs", "beat": 1, "doing": "start"}}
QR = SessionState(State.QR_REQUIRED, "2@text")


def updates_of(
    alone: Alone,
    row: Integration,
    *,
    may_connect: bool = True,
    only_look: bool = False,
    keyed: KeyedRequest | None = None,
) -> tuple[RowUpdates, Invocation]:
    invocation = alone.begin()
    client = stored_client(invocation, row)._replace(may_connect=may_connect)
    return RowUpdates(invocation, client, keyed, only_look=only_look), invocation


@pytest.mark.parametrize(
    ("state", "before", "after"),
    [
        (SessionState(State.STARTING), {}, {}),
        (QR, {}, {"wppQrShown": True}),
        (QR, {"wppRestarts": 2}, {"wppQrShown": True}),
        (QR, {"wppPaired": True}, {"wppPaired": True}),
        (SessionState(State.CONNECTED), {}, {"wppPaired": True}),
        (SessionState(State.PAIRING), {"wppRestarts": 2}, {"wppPaired": True}),
        (SessionState(State.STARTING), {"wppRestarts": 2}, {"wppRestarts": 2}),
        (SessionState(State.STARTING), {"wppLost": {"at": 1, "times": 1}}, {}),
        (SessionState(State.STARTING), {"wppDisconnected": True}, {}),
    ],
)
def test_what_was_seen_of_a_session_is_saved(
    alone: Alone, state: SessionState, before: dict[str, Any], after: dict[str, Any]
) -> None:
    updates, invocation = updates_of(alone, alone.insert(settings={**USED, **before}))
    updates.observe(state)
    assert updates.are_saved is (before == after)
    updates.save()
    assert updates.are_saved
    assert updates.row == alone.stored()
    assert alone.settings() == {**USED, **after}
    assert invocation.upstream.trace.session_state == state.state.name.lower()


@pytest.mark.parametrize("before", [{}, {"wppLost": {"at": 1, "times": 1}}])
def test_what_was_seen_once_stays_seen(alone: Alone, before: dict[str, Any]) -> None:
    updates, _ = updates_of(alone, alone.insert(settings={**USED, **before}))
    for state in (QR, SessionState(State.PAIRING), SessionState(State.STARTING)):
        updates.observe(state)
    updates.save()
    assert alone.settings() == {**USED, "wppPaired": True}


@pytest.mark.parametrize("may_connect", [True, False])
def test_a_row_is_switched_on_unless_somebody_switched_it_off_meanwhile(alone: Alone, may_connect: bool) -> None:
    row = alone.insert(settings={**USED, "wppDisconnected": True}, is_active=False)
    updates, _ = updates_of(alone, row, may_connect=may_connect)
    assert (updates.are_saved, updates.may_start) == (not may_connect, may_connect)
    updates.save()
    assert alone.row()["is_active"] is may_connect
    assert ("wppDisconnected" in alone.settings()) is not may_connect
    assert (updates.are_saved, updates.may_start) == (True, False)


def test_a_row_that_is_switched_off_once_it_was_on_stays_off(alone: Alone) -> None:
    updates, _ = updates_of(alone, alone.insert(settings=USED, is_active=False))
    updates.save()
    alone.supabase.execute("update messenger_integrations set is_active = false where id = %s", updates.row.id)
    alone.write(wppDisconnected=True)
    updates.is_now(alone.stored())
    updates.observe(QR)
    updates.save()
    assert not alone.row()["is_active"]
    assert alone.settings() == {**USED, "wppDisconnected": True, "wppQrShown": True}


def test_a_look_saves_only_a_token_and_that_a_phone_was_paired(alone: Alone) -> None:
    stored = {**USED, **THEIRS, "wppDisconnected": True, "wppRestarts": 1, "wppLost": {"at": 1, "times": 1}}
    row = alone.insert(settings=stored, is_active=False)
    alone.runtime.memory.claims_seen.put(row.id, ("theirs", 1, 4000.0))  # found dead by now
    updates, _ = updates_of(alone, row, only_look=True)
    assert not updates.may_start
    updates.observe(SessionState(State.PAIRING))
    updates.may_have_ended = False
    updates.save()
    assert alone.settings() == {**stored, "wppPaired": True}
    assert not alone.row()["is_active"]


def test_a_request_with_a_key_is_noted_once(alone: Alone) -> None:
    updates, _ = updates_of(alone, alone.insert(settings=USED), keyed=KeyedRequest("fingerprint", "plain"))
    updates.save()
    alone.passed += 5
    assert updates.are_saved
    assert alone.settings()["wppRequests"] == {"fingerprint": {"options": "plain", "at": BEGIN * 1000}}


def test_credentials_that_were_replaced_meanwhile_end_it(alone: Alone) -> None:
    updates, _ = updates_of(alone, alone.insert(settings=USED))
    alone.write(wppApiKey="key_of_another")
    updates.observe(QR)
    updates.save()
    assert alone.settings() == {**USED, "wppApiKey": "key_of_another"}
    assert updates.row == alone.stored()
    assert updates.apply(updates.record) == updates.record


def test_a_row_that_is_gone_changes_nothing(alone: Alone) -> None:
    row = alone.insert(settings=USED)
    updates, _ = updates_of(alone, row)
    alone.supabase.execute("delete from messenger_integrations where id = %s", row.id)
    updates.observe(QR)
    updates.save()
    assert updates.row == row


# The token


@pytest.mark.parametrize(
    ("stored", "is_saved"),
    [
        (None, True),
        (("expired", -1), True),
        (("older", 479), True),
        (("as good", 480), False),
        (("newer", 900), False),
    ],
)
def test_a_token_is_saved_unless_it_is_to_be_renewed_before_the_stored_one_ends(
    alone: Alone, stored: tuple[str, int] | None, is_saved: bool
) -> None:
    found = {"wppJwtToken": stored[0], "wppJwtExpiresAt": (BEGIN + stored[1]) * 1000} if stored else {}
    updates, _ = updates_of(alone, alone.insert(settings={**USED, **found}))
    alone.runtime.memory.tokens.put(KEYS["wppApiKey"], AccessToken("token", BEGIN + 500.0, BEGIN + 480.0))
    updates.save()
    own = {"wppJwtToken": "token", "wppJwtExpiresAt": (BEGIN + 500) * 1000}
    assert alone.settings() == {**USED, **(own if is_saved else found)}


# Others in the same process


def test_a_row_that_another_call_has_saved_since_is_caught_up_with(alone: Alone) -> None:
    ours, _ = updates_of(alone, alone.insert(settings=USED))
    theirs, _ = updates_of(alone, ours.row)
    alone.passed += 1
    theirs.observe(QR)
    theirs.save()
    ours.observe(QR)
    ours.catch_up()
    assert ours.are_saved
    assert ours.row == alone.stored()


def test_a_save_that_may_be_older_than_what_this_call_read_is_not_caught_up_with(alone: Alone) -> None:
    theirs, _ = updates_of(alone, alone.insert(settings=USED))
    theirs.observe(QR)
    theirs.save()
    alone.write(wppQrShown=None, wppStartedAt=7)  # another process starts the session
    ours, _ = updates_of(alone, alone.stored())  # in the same instant, by our clock
    ours.observe(QR)
    ours.catch_up()
    ours.save()
    assert alone.settings() == {**USED, "wppStartedAt": 7, "wppQrShown": True}


def test_a_save_that_needed_no_change_is_not_caught_up_with_as_it_read_nothing_again(alone: Alone) -> None:
    idle, _ = updates_of(alone, alone.insert(settings={**USED, "wppQrShown": True}))
    alone.write(wppQrShown=None, wppStartedAt=7)
    ours, _ = updates_of(alone, alone.stored())
    alone.passed += 1
    idle.save()
    assert alone.calls() == []
    ours.observe(QR)
    ours.catch_up()
    ours.save()
    assert alone.settings() == {**USED, "wppStartedAt": 7, "wppQrShown": True}


# The claim of somebody else


def test_the_claim_of_somebody_dead_is_removed_once_the_session_is_known_to_run(alone: Alone) -> None:
    row = alone.insert(settings={**USED, **THEIRS})
    alone.runtime.memory.claims_seen.put(row.id, ("theirs", 1, 4000.0))
    updates, _ = updates_of(alone, row)
    updates.save()
    assert alone.settings() == {**USED, **THEIRS}
    updates.may_have_ended = False
    updates.save()
    assert alone.settings() == USED


def test_a_claim_whose_holder_woke_up_since_is_left_alone(alone: Alone) -> None:
    row = alone.insert(settings={**USED, **THEIRS})
    alone.runtime.memory.claims_seen.put(row.id, ("theirs", 1, 4000.0))
    updates, _ = updates_of(alone, row)
    updates.may_have_ended = False
    alone.write(wppClaim={**THEIRS["wppClaim"], "beat": 2})
    updates.observe(QR)
    updates.save()
    assert alone.settings()["wppClaim"]["beat"] == 2


def test_token_and_webhook_are_left_to_whoever_is_at_work(alone: Alone) -> None:
    row = alone.insert(settings={**KEYS, "wppPaired": False, **THEIRS})
    updates, _ = updates_of(alone, row)
    alone.runtime.memory.tokens.put(KEYS["wppApiKey"], AccessToken("token", BEGIN + 500.0, BEGIN + 480.0))
    alone.instead("webhook", answer(200, {}))
    with updates.registering_webhook():
        pass
    updates.may_have_ended = False
    assert updates.are_saved
    updates.observe(QR)
    updates.save()
    assert alone.settings() == {**row.settings, "wppQrShown": True}
    alone.write(wppClaim=None)
    updates.is_now(alone.stored())
    assert not updates.are_saved


# Starts


def test_a_start_is_noted_once(alone: Alone) -> None:
    updates, _ = updates_of(alone, alone.insert(settings={**USED, "wppStartedAt": 1, "wppQrShown": True}))
    updates.observe(QR)
    updates.record_start()
    updates.save()
    assert alone.settings() == {**USED, "wppStartedAt": BEGIN * 1000}
    alone.write(wppStartedAt=5)  # by somebody else
    updates.is_now(alone.stored())
    assert updates.are_saved


def test_a_start_that_is_noted_with_the_release_of_its_claim_is_noted_once(alone: Alone) -> None:
    row = alone.insert(settings=USED)
    updates, invocation = updates_of(alone, row)
    claim = HeldClaim(invocation, "start")
    claim.take(row, lambda _: True)
    updates.record_start()
    updates.save_under(claim, release=True)
    assert alone.settings() == {**USED, "wppStartedAt": BEGIN * 1000}
    assert updates.row == alone.stored()
    alone.write(wppStartedAt=5)  # by somebody else
    updates.is_now(alone.stored())
    assert updates.are_saved


@pytest.mark.parametrize(("before", "after"), [({}, 1), ({"wppRestarts": 2}, 3)])
def test_a_restart_counts_once_although_its_start_is_noted_twice(
    alone: Alone, before: dict[str, Any], after: int
) -> None:
    updates, _ = updates_of(alone, alone.insert(settings={**USED, **before}))
    updates.record_start(is_restart=True)
    alone.passed += 5
    updates.record_start()
    updates.save()
    assert alone.settings() == {**USED, "wppStartedAt": (BEGIN + 5) * 1000, "wppRestarts": after}


@pytest.mark.parametrize("restarts", [{}, {"wppRestarts": 2}])
def test_a_start_of_somebody_else_may_be_noted_and_a_refused_one_is_none(
    alone: Alone, restarts: dict[str, Any]
) -> None:
    updates, _ = updates_of(alone, alone.insert(settings={**USED, **restarts}))
    updates.record_possible_start(BEGIN - 5)
    updates.save()
    assert alone.settings() == {**USED, **restarts, "wppStartedAt": (BEGIN - 5) * 1000}
    updates.record_refused_start()
    updates.save()
    assert alone.settings() == {**USED, **restarts}
