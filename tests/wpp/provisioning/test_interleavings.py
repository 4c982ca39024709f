"""No interleaving of claims, takeovers, releases, starts, recreations and foreign writers loses anything or doubles a client.

The platform gives a new client whenever it is not asked under the same idempotency key. Wall clocks are hours apart; requests and
responses are lost or late; processes die, are stopped, cannot reach Supabase or lose their beats, and go on after their claim was
taken over; observers come and go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.machines import (
    OnAForgetfulPlatform,
    WithDisconnects,
    WithForeignWriters,
    WithRecreations,
    WithStuckSessions,
)
from tests.support.organizations import OneOrganization

if TYPE_CHECKING:
    from collections.abc import Callable


MACHINES = (
    OneOrganization,
    WithRecreations,
    WithDisconnects,
    WithStuckSessions,
    WithForeignWriters,
    OnAForgetfulPlatform,
)


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.__name__)
def test_whatever_happens_nothing_is_lost_and_nothing_is_doubled(
    play: Callable[[type[OneOrganization]], None], machine: type[OneOrganization]
) -> None:
    play(machine)
