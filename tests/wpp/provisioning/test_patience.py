"""How long an answer waits for what runs beside it. The half second for what only helps is zero here: no test spends it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.alone import WEBHOOK_HASH, Alone
from wpp import runtime

if TYPE_CHECKING:
    from emulator.supabase.app import SupabaseApp

HANGS = 20.0
"""Real seconds after which something that should not have been waited for goes on."""


@pytest.fixture
def alone(supabase: SupabaseApp, monkeypatch: pytest.MonkeyPatch) -> Alone:
    monkeypatch.setattr(runtime, "_PATIENCE", 0.0)
    alone = Alone(supabase)
    alone.has_threads = True
    return alone


class Held:
    """A call that is not answered before it is let go."""

    def __init__(self) -> None:
        self._let_go = threading.Event()
        self.ended = threading.Event()
        self.was_let_go = False

    def __call__(self) -> None:
        self.was_let_go = self._let_go.wait(HANGS)
        self.ended.set()

    def let_go(self) -> None:
        self._let_go.set()


def test_the_webhook_of_a_new_client_is_waited_for(alone: Alone) -> None:
    alone.instead("webhook", lambda: time.sleep(0.05))  # as one that takes a while
    alone.connect()
    assert alone.settings()["wppWebhookHash"] == WEBHOOK_HASH
    assert "wppWebhookPending" not in alone.settings()


def test_the_webhook_of_a_client_that_works_is_not_waited_for(alone: Alone) -> None:
    row = alone.connected_before(wppWebhookHash=None)
    webhook = Held()
    alone.instead("webhook", webhook)
    connected = alone.connect(row)
    webhook.let_go()
    assert connected.state.qr
    assert webhook.ended.wait(10)
    assert webhook.was_let_go


def test_a_qr_that_was_asked_for_in_advance_is_not_waited_for_but_asked_for_again(alone: Alone) -> None:
    row = alone.connected_before()
    early = Held()
    alone.instead("qr", early, early.let_go)
    assert alone.connect(row).state.qr == alone.platform.qr(alone.session())
    assert early.ended.wait(10)
    assert early.was_let_go
