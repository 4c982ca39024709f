"""What only helps - a webhook, saving a row - is tried beside the call, and after a failure less and less often."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.alone import BEGIN, LOST, PATCH, WEBHOOK_HASH, Alone, answer
from wpp.platform.state import SessionState, State
from wpp.platform.token import AccessToken
from wpp.provisioning.best_effort import BestEffort
from wpp.provisioning.client import stored_client
from wpp.provisioning.updates import RowUpdates

if TYPE_CHECKING:
    from wpp.runtime import Invocation
    from wpp.supabase.rows import Integration

KEYS: dict[str, Any] = {"wppApiKey": "key_0123456789", "wppAccountNumber": "client_1"}
USED = {**KEYS, "wppPaired": False, "wppWebhookHash": WEBHOOK_HASH}
QR = SessionState(State.QR_REQUIRED, "2@text")


def updates_of(alone: Alone, row: Integration) -> tuple[RowUpdates, Invocation]:
    invocation = alone.begin()
    return RowUpdates(invocation, stored_client(invocation, row)), invocation


@pytest.mark.parametrize(
    ("settings", "needs_it"),
    [
        ({"wppWebhookHash": WEBHOOK_HASH}, False),
        ({"wppWebhookHash": "of another address"}, True),
        ({}, True),
        ({"wppWebhookHash": WEBHOOK_HASH, "wppWebhookPending": True}, True),
    ],
)
def test_the_platform_needs_our_webhook_until_it_is_noted(
    alone: Alone, settings: dict[str, Any], needs_it: bool
) -> None:
    updates, _ = updates_of(alone, alone.insert(settings={**KEYS, **settings}))
    assert updates.needs_webhook is needs_it


def test_a_registered_webhook_is_noted(alone: Alone) -> None:
    updates, _ = updates_of(alone, alone.insert(settings={**KEYS, "wppWebhookPending": True}))
    alone.runtime.memory.tokens.put(KEYS["wppApiKey"], AccessToken("token", BEGIN + 0.0, 900.0))
    alone.instead("webhook", answer(200, {}))
    alone.instead("token", answer(200, {"token": "token"}))
    with updates.registering_webhook():
        pass
    assert not updates.needs_webhook
    updates.save()
    assert {"wppWebhookHash", "wppWebhookPending"} & alone.settings().keys() == {"wppWebhookHash"}
    assert alone.settings()["wppWebhookHash"] == WEBHOOK_HASH


def test_a_webhook_that_cannot_be_registered_is_told_of_and_stays_pending(alone: Alone) -> None:
    updates, invocation = updates_of(alone, alone.insert(settings=USED))
    alone.instead("token", answer(200, {"token": "token"}))
    alone.instead("webhook", answer(400))
    with updates.registering_webhook():
        pass
    warning = (
        "the webhook is not registered yet, a later call tries again: WPP Platform refused with status 400 (webhook)"
    )
    assert invocation.warnings == [warning]
    assert updates.needs_webhook
    updates.save()
    assert alone.settings()["wppWebhookPending"] is True


@pytest.mark.parametrize("patience", [None, 1.0])
def test_a_webhook_has_three_seconds_however_long_it_is_waited_for(alone: Alone, patience: float | None) -> None:
    updates, _ = updates_of(alone, alone.insert(settings=USED))
    alone.instead("token", answer(200, {"token": "token"}))
    with updates.registering_webhook(patience):
        pass
    (sent,) = [sent for sent in alone.sent if sent.call == "webhook"]
    assert (sent.timeout, sent.payload) == (3, {"url": "http://supabase/functions/v1/wpp-webhook"})


# Work that only helps


def test_a_save_that_failed_is_logged_and_not_tried_again_at_once(alone: Alone) -> None:
    updates, _ = updates_of(alone, alone.insert(settings=USED))
    updates.observe(QR)
    alone.instead(PATCH, *[LOST] * 6)
    with alone.logging(), updates.saving():
        pass
    whose = {**alone.fields(), "organization": None, "code": "supabase_unavailable"}
    assert alone.logged == [("WARNING", "the connection's row could not be updated", whose)]
    alone.calls()
    with updates.saving():
        pass
    assert alone.calls() == []


@pytest.mark.parametrize("call", [PATCH, "webhook"])
def test_a_failure_for_one_row_holds_up_no_other(alone: Alone, call: str) -> None:
    alone.instead("token", *[answer(200, {"token": "token"})] * 2)
    alone.instead(call, *[LOST] * 6)
    for is_first in (True, False):
        updates, _ = updates_of(alone, alone.insert(settings={**USED, "wppSubOrgId": str(is_first)}))
        updates.observe(QR)
        with updates.saving() if call == PATCH else updates.registering_webhook():
            pass
        assert call in alone.calls()


def test_work_that_fails_is_tried_less_and_less_often(alone: Alone) -> None:
    done = []

    def work() -> None:
        done.append(alone.passed)
        raise ValueError

    effort = BestEffort(alone.begin(), "name", work)
    for pause in (4, 8, 16, 32, 60, 60, 0.5):
        with effort.alongside():
            pass
        alone.passed += pause - 0.5
        with effort.alongside():
            pass
        alone.passed += 0.5
    assert done == [0, 4, 12, 28, 60, 120, 180]


def test_work_that_failed_once_and_then_succeeds_begins_with_the_shortest_pause_again(alone: Alone) -> None:
    fails, done = True, []

    def work() -> None:
        done.append(alone.passed)
        if fails:
            raise ValueError

    effort = BestEffort(alone.begin(), "name", work)
    for passed, fails in ((0, True), (4, False), (4, False), (4, True), (7.9, False), (8, False)):  # noqa: B007
        alone.passed = passed
        with effort.alongside():
            pass
    assert done == [0, 4, 4, 4, 8]


def test_work_of_other_names_is_not_held_up(alone: Alone) -> None:
    def work() -> None:
        raise ValueError

    done: list[int] = []
    with (
        BestEffort(alone.begin(), "name", work).alongside(),
        BestEffort(alone.begin(), "b", lambda: done.append(1)).alongside(),
    ):
        pass
    assert done == [1]
