"""Whoever lost the claim while a credential was renewed sends no `start` or `stop` any more; nor `create`: see test_takeovers."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from emulator.faults import Fault
from wpp.errors import CreationInProgress
from wpp.provisioning.disconnect import disconnect
from wpp.provisioning.options import Options, Target
from wpp.provisioning.service import connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.advancing import Advancing
    from tests.support.callers import Caller
    from tests.support.intervening import Intervening
    from wpp.runtime import Invocation, Runtime

TAKEN_OVER = {"id": "another's", "beat": 1, "doing": "start"}


def _connect(invocation: Invocation, token: str) -> object:
    return connect(invocation, token)


def _recreate(invocation: Invocation, token: str) -> object:
    return connect(invocation, token, options=Options(force_recreate=True))


def _disconnect(invocation: Invocation, token: str) -> object:
    return disconnect(invocation, token, Target())


@pytest.mark.parametrize(("act", "call"), [(_connect, "start"), (_recreate, "stop"), (_disconnect, "stop")])
def test_a_token_that_takes_longer_than_the_claim_is_trusted_is_followed_by_a_look_at_the_claim(
    caller: Caller,
    patient: Runtime,
    time: Advancing,
    meanwhile: Intervening,
    act: Callable[[Invocation, str], object],
    call: str,
) -> None:
    caller.create()
    caller.change_settings(wppStartedAt=1)
    platform = caller.stack.platform_server
    if call == "start":
        caller.stack.platform.disconnect(caller.session().name)
    # The token is refused as the call arrives.
    refused = Fault(call, status=401, body=b'{"error": "Invalid token"}')
    platform.inject(refused)
    platform.clear()

    def taken_over() -> None:
        caller.change_settings(wppClaim=TAKEN_OVER)
        time.advance(4)  # which the new token has taken

    meanwhile.after("POST", "/auth/token", taken_over)
    with suppress(CreationInProgress):  # it waits for the other holder, who never ends
        act(patient.begin("wpp-create", "id", 9), caller.token)
    assert (meanwhile.has_happened, refused.times) == (True, 0)
    assert platform.count(call) == 1, "the refused one"
    assert caller.row()["settings"]["wppClaim"]["id"] == "another's"
