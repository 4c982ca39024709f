"""Where the platform sends events: each session follows the configured address."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.servers import wait_for
from wpp.config import config_from
from wpp.provisioning.look import look
from wpp.provisioning.options import Target
from wpp.provisioning.service import connect
from wpp.runtime import Runtime

if TYPE_CHECKING:
    from tests.support.callers import Caller

NEW = "https://new.example/hook"


def called(caller: Caller, url: str | None, *, only_look: bool = False, wait: bool = False) -> None:
    runtime = Runtime(config_from(caller.stack.environment() | ({"WPP_WEBHOOK_URL": url} if url else {})))
    try:
        invocation = runtime.begin("wpp-create", "id")
        if only_look:
            look(invocation, caller.token, Target())
        else:
            connect(invocation, caller.token, wait=wait)
    finally:
        runtime.close()


@pytest.mark.parametrize("wait", [False, True])
def test_a_changed_address_reaches_a_session_once(caller: Caller, wait: bool) -> None:
    caller.create()
    caller.scan()
    session = caller.session()
    assert session.webhooks == 1
    for _ in range(2):
        called(caller, NEW, wait=wait)
    assert (session.webhook, session.webhooks) == (NEW, 2)
    assert NEW not in str(caller.row()["settings"])


def test_a_row_from_before_the_address_was_noted_gets_it_once(caller: Caller) -> None:
    caller.create()
    caller.change_settings(wppWebhookHash=None)
    session = caller.session()
    for _ in range(2):
        called(caller, None)
    assert session.webhooks == 2


def test_a_look_registers_nothing(caller: Caller) -> None:
    caller.create()
    called(caller, NEW, only_look=True)
    assert caller.session().webhook != NEW


def test_what_somebody_else_who_is_starting_the_session_writes_is_left_to_them(caller: Caller) -> None:
    caller.stack.platform.settings.qr_delay = 1000  # nothing else is to be noted
    caller.create()
    caller.change_settings(wppWebhookHash=None, wppJwtToken=None, wppJwtExpiresAt=None)
    caller.change_settings(wppClaim={"id": "another's", "beat": 1, "doing": "start", "expiresAt": 1})
    before, session = caller.row(), caller.session()
    called(caller, None)
    assert (caller.row(), session.webhooks) == (before, 2)  # should the holder die, it is registered all the same
    caller.change_settings(wppClaim=None)
    called(caller, None)
    assert session.webhooks == 3
    wait_for(lambda: caller.row()["settings"].get("wppJwtToken"))
