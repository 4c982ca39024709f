"""What several calls have to write into one row is written once."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.support.servers import wait_for
from wpp.config import config_from
from wpp.provisioning.service import connect
from wpp.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.callers import Caller
    from tests.support.intervening import Intervening

PATCH = "rest.PATCH.messenger_integrations"


@pytest.fixture
def disturbed(caller: Caller, meanwhile: Intervening) -> Iterator[Runtime]:
    """A process that `meanwhile` can intervene in. The number is known, and its session has no QR yet."""
    caller.stack.platform.settings.qr_delay = 1000
    caller.create()
    with closing(Runtime(config_from(caller.stack.environment()), transport=meanwhile)) as runtime:
        yield runtime


def test_a_qr_that_others_of_the_process_have_noted_is_not_noted_again(
    caller: Caller, meanwhile: Intervening, disturbed: Runtime
) -> None:
    def somebody_sees_the_qr() -> None:
        caller.stack.platform.settings.qr_delay = 0
        assert connect(disturbed.begin("wpp-create", "theirs"), caller.token).status == "qr_issued"
        assert _writers(caller) == ["theirs"]

    caller.stack.supabase_server.clear()
    meanwhile.after("GET", "status", somebody_sees_the_qr)
    assert connect(disturbed.begin("wpp-provision", "ours"), caller.token, wait=True).status == "qr_issued"
    wait_for(lambda: caller.row()["settings"].get("wppQrShown"))
    assert _writers(caller) == ["theirs"]


def _writers(caller: Caller) -> list[str | None]:
    """Which of the two calls wrote, once for each time: on a busy machine, a call of an earlier test may still be writing."""
    received = [one.request for one in caller.stack.supabase_server.received if one.call == PATCH]
    return [one for one in (each.headers.get("x-request-id") for each in received) if one in ("ours", "theirs")]
