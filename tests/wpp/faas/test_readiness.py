"""Whether Supabase and the platform can be reached, asked seldom."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from emulator.faults import Fault
from wpp.clock import Clock
from wpp.config import config_from
from wpp.errors import NotConfigured
from wpp.faas.readiness import Readiness
from wpp.runtime import Runtime

if TYPE_CHECKING:
    from emulator.stack import Stack


def test_both_systems_are_asked_at_most_every_five_seconds(stack: Stack) -> None:
    seconds = [0.0]
    with closing(Runtime(config_from(stack.environment()), Clock(monotonic=lambda: seconds[0]))) as runtime:
        readiness = Readiness(lambda: runtime)
        for _ in range(20):
            assert readiness.check() == {"supabase": "ok", "platform": "ok"}
        assert (len(stack.supabase_server.received), len(stack.platform_server.received)) == (1, 1)

        stack.platform_server.inject(Fault("*", "refuse"))
        stack.supabase_server.inject(Fault("*", status=503, times=None))
        assert set(readiness.check().values()) == {"ok"}
        seconds[0] = 5
        assert readiness.check() == {"supabase": "supabase_unavailable", "platform": "platform_unavailable"}


def test_without_configuration_the_functions_are_not_ready() -> None:
    def unconfigured() -> Runtime:
        raise NotConfigured("WPP_SECRET is missing")

    assert Readiness(unconfigured).check() == {"functions": "not_configured"}
