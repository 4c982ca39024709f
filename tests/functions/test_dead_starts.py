"""A start whose holder died may have its effect for a while yet: how long others give it, and that it is not a second longer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wpp.clock import Clock
from wpp.provisioning.disconnect import disconnect
from wpp.provisioning.options import Target
from wpp.provisioning.service import connect

if TYPE_CHECKING:
    from emulator.stack import Stack
    from tests.support.advancing import Virtual
    from tests.support.callers import Caller
    from tests.support.intervening import Intervening
    from wpp.provisioning.service import Connection
    from wpp.runtime import Invocation, Runtime

DIED = {"id": "died", "beat": 3, "doing": "start", "expiresAt": 1}
GIVEN = 11
"""Seconds from the first look at the claim: one in which the start could still be sent, ten in which it may show."""


def died_starting(caller: Caller) -> None:
    """A number with an ended session, and the claim of somebody who was about to start it, or had just done so."""
    caller.stack.platform.settings.qr_delay = 0
    caller.create()
    caller.stack.platform.disconnect(caller.session().name)
    caller.change_settings(wppStartedAt=1, wppClaim=DIED)


def called(runtime: Runtime, caller: Caller, *, wait: bool = False) -> tuple[Connection, Invocation]:
    invocation = runtime.begin("wpp-provision", "id")
    return connect(invocation, caller.token, wait=wait), invocation


def test_whoever_waits_starts_the_session_as_soon_as_the_dead_start_has_had_its_time(
    caller: Caller, waiting: Runtime, virtual: Virtual
) -> None:
    died_starting(caller)
    session, starts, began = caller.session(), caller.session().starts, virtual.seconds
    connection, invocation = called(waiting, caller, wait=True)
    assert connection.status == "qr_issued"
    assert session.starts == starts + 1
    assert GIVEN <= virtual.seconds - began < GIVEN + 0.4
    assert sum(request.system == "platform" for request in invocation.upstream.trace.requests) < 65


def test_a_dead_start_that_shows_in_the_end_is_not_repeated(caller: Caller, waiting: Runtime, virtual: Virtual) -> None:
    died_starting(caller)
    session, starts = caller.session(), caller.session().starts
    assert called(waiting, caller)[0].status == "starting"
    virtual.seconds += GIVEN - 0.6

    def sleep(seconds: float) -> None:
        virtual.seconds += seconds
        if session.starts == starts:
            caller.stack.platform.start(session)

    waiting.clock = Clock(monotonic=virtual.clock.monotonic, sleep=sleep)
    assert called(waiting, caller, wait=True)[0].status == "qr_issued"
    assert session.starts == starts + 1


def test_a_dead_start_that_was_seen_long_ago_is_not_waited_for_and_the_state_is_read_again_under_the_claim(
    caller: Caller, waiting: Runtime, virtual: Virtual
) -> None:
    died_starting(caller)
    session, starts = caller.session(), caller.session().starts
    assert called(waiting, caller)[0].status == "starting"
    virtual.seconds += GIVEN
    began = virtual.seconds
    _, invocation = called(waiting, caller)
    assert session.starts == starts + 1
    assert virtual.seconds - began < 0.5
    names = [request.name for request in invocation.upstream.trace.requests]
    claimed = names.index("rest.PATCH.messenger_integrations")
    assert names.index("status", claimed) < names.index("start")


def test_a_disconnection_gives_a_dead_start_the_same_time_before_it_stops_the_session(
    caller: Caller, waiting: Runtime, virtual: Virtual
) -> None:
    died_starting(caller)
    began = virtual.seconds
    disconnect(waiting.begin("wpp-disconnect", "id"), caller.token, Target())
    assert caller.session().stops == 1
    assert GIVEN <= virtual.seconds - began < GIVEN + 0.4


def test_code_from_before_beats_gets_ten_seconds_from_the_takeover(
    caller: Caller, waiting: Runtime, virtual: Virtual
) -> None:
    died_starting(caller)
    caller.change_settings(wppClaim={"id": "died", "doing": "start", "expiresAt": 1})
    assert called(waiting, caller)[0].status == "starting"
    virtual.seconds += 41
    began = virtual.seconds
    called(waiting, caller)
    assert 10 <= virtual.seconds - began < 10.4


def test_the_claim_of_a_running_session_is_released_unless_its_holder_wakes_up(
    caller: Caller, stack: Stack, waiting: Runtime, virtual: Virtual, meanwhile: Intervening
) -> None:
    stack.platform.settings.qr_delay = 0
    caller.create()

    def woken_up() -> None:
        caller.change_settings(wppClaim={**DIED, "beat": 4})

    for beats_again in (True, False):
        caller.change_settings(wppClaim=DIED)
        called(waiting, caller)
        virtual.seconds += 6
        if beats_again:
            meanwhile.after("GET", "status", woken_up)
        called(waiting, caller)
        assert ("wppClaim" in caller.row()["settings"]) == beats_again
