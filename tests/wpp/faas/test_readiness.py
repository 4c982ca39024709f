"""Whether Supabase and the platform can be reached, asked seldom."""

from __future__ import annotations

import logging
from contextlib import closing
from typing import TYPE_CHECKING

from emulator.faults import Fault
from tests.support.function_calls import logged
from wpp.clock import Clock
from wpp.config import config_from
from wpp.errors import NotConfigured
from wpp.faas.readiness import Readiness
from wpp.http.messages import Response
from wpp.http.transport import Transport
from wpp.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emulator.stack import Stack

KEY = "the-key-of-the-service-role"
CONFIGURATION = {
    "SUPABASE_URL": "https://project.supabase.co",
    "SUPABASE_SERVICE_ROLE_KEY": KEY,
    "WPP_SECRET": "the-secret-of-the-platform",
    "WPP_BASE_URL": "https://platform.example",
}


class Answering(Transport):
    """Answers every request at once, and keeps it with the seconds that it had."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: dict[str, tuple[str, dict[str, str], float]] = {}

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout: float) -> Response:
        assert body is None
        self.sent[url] = (method, dict(headers), timeout)
        return Response(200, {}, b"[]")


def check_with(transport: Transport) -> Mapping[str, str]:
    clock = Clock(monotonic=lambda: 1000.0)
    return Readiness(lambda: Runtime(config_from(CONFIGURATION), clock, transport)).check()


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


def test_each_system_is_asked_for_little_and_given_less_than_three_seconds() -> None:
    transport = Answering()
    assert check_with(transport) == {"supabase": "ok", "platform": "ok"}
    assert transport.sent.pop("https://platform.example/") == ("GET", {"X-Request-Id": "readiness"}, 2.625)
    ((url, asked),) = transport.sent.items()
    assert url.startswith("https://project.supabase.co/rest/v1/messenger_integrations?")
    assert "&limit=1&" in url
    assert asked == ("GET", {"apikey": KEY, "Authorization": f"Bearer {KEY}", "X-Request-Id": "readiness"}, 2.625)


def test_what_is_asked_is_in_the_log_at_its_most_detailed_level() -> None:
    with logged(logging.DEBUG) as lines:
        check_with(Answering())
    assert sorted((line["call"], line["request_id"]) for line in lines) == [
        ("platform.health", "readiness"),
        ("supabase.rest.GET.messenger_integrations", "readiness"),
    ]
