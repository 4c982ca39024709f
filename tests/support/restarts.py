"""Sessions that never get to their QR, and calls that meet them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wpp.provisioning.service import connect

if TYPE_CHECKING:
    from tests.support.callers import Caller
    from wpp.provisioning.service import Connection
    from wpp.runtime import Invocation, Runtime

ROWS = "messenger_integrations"
PATCH = f"rest.PATCH.{ROWS}"
AFTER = 90


def stuck(caller: Caller) -> None:
    """A number whose session never gets to its QR."""
    caller.stack.platform.settings.qr_delay = 1000
    caller.create()
    caller.stack.platform.stick(caller.session().name)
    caller.stack.platform.settings.qr_delay = 0


def called(patient: Runtime, caller: Caller) -> tuple[Connection, Invocation]:
    invocation = patient.begin("wpp-create", "id")
    return connect(invocation, caller.token), invocation
