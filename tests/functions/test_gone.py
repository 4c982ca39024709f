"""The ways back: from a session that the platform has lost, and from a key that it does not take any more."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import TYPE_CHECKING

import pytest

from emulator.faults import Fault
from tests.support.advancing import Advancing
from tests.support.intervening import Intervening
from wpp.config import config_from
from wpp.errors import KeyRefused, SessionGone, SessionLost, UpstreamRefused
from wpp.provisioning.options import Options
from wpp.provisioning.service import connect
from wpp.runtime import Runtime

if TYPE_CHECKING:
    from emulator.stack import Stack
    from tests.support.callers import Caller
    from wpp.provisioning.service import Connection

OF_PROXIES = [
    b"<html>404 Not Found</html>",
    b"",
    b'"Not Found"',
    b'{"message": "no Route matched with those values"}',
    b'{"timestamp": "2026-11-28", "status": 404, "error": "Not Found", "path": "/api"}',
    b'{"message": "Route GET:/api not found", "error": "Not Found", "statusCode": 404}',
]


GONE = b'{"error": "Session not found"}'
REFUSED = b'{"error": "Invalid API key"}'


def called(patient: Runtime, caller: Caller) -> Connection:
    return connect(patient.begin("wpp-create", "id"), caller.token)


def creations(caller: Caller) -> int:
    return sum(c.organization_id == caller.organization_id for c in caller.stack.platform.creations)


def test_a_lost_session_is_asked_for_again_when_it_was_not_known_twice(
    caller: Caller, patient: Runtime, time: Advancing
) -> None:
    caller.create()
    before = caller.row()["settings"]
    caller.stack.platform.lose(caller.session().name)
    assert called(patient, caller).session == before["wppAccountNumber"]
    assert time.waits == [5.0]
    assert creations(caller) == 2
    keys = [c.idempotency_key for c in caller.stack.platform.creations if c.organization_id == caller.organization_id]
    assert len(set(keys)) == 2
    assert called(patient, caller).status in ("starting", "qr_issued")
    assert creations(caller) == 2


def test_a_lost_session_is_asked_for_once_by_many(caller: Caller, runtime: Runtime) -> None:
    caller.create()
    caller.stack.platform.lose(caller.session().name)
    with ThreadPoolExecutor(8) as threads:
        sessions = {c.session for c in threads.map(lambda _: called(runtime, caller), range(8))}
    assert len(sessions) == 1
    assert creations(caller) == 2
    assert "wppClaim" not in caller.row()["settings"]


def test_a_session_that_is_not_known_once_is_not_believed_to_be_lost(caller: Caller, patient: Runtime) -> None:
    caller.create()
    starts = caller.session().starts
    caller.stack.platform_server.inject(Fault("status", status=404, body=GONE))
    called(patient, caller)
    assert creations(caller) == 1
    assert caller.session().starts == starts


@pytest.mark.parametrize("body", OF_PROXIES)
def test_a_proxys_404_never_counts(caller: Caller, patient: Runtime, time: Advancing, body: bytes) -> None:
    caller.create()
    caller.stack.platform_server.inject(Fault("status", status=404, body=body, times=None))
    with pytest.raises(UpstreamRefused) as refused:
        called(patient, caller)
    assert (refused.value.upstream_status, refused.value.code) == (404, "platform_refused")
    assert creations(caller) == 1
    assert time.waits == []


def test_a_session_that_stays_lost_is_asked_for_less_and_less_often_until_it_is_back(
    caller: Caller, patient: Runtime, time: Advancing
) -> None:
    caller.create()
    platform, session = caller.stack.platform, caller.session()
    platform.settings.lost_for_good = True
    platform.lose(session.name)
    asked: list[int] = []
    retry_after: list[float] = []
    for wait in (0, 30, 40, 60, 70, 230, 20):
        time.advance(wait)
        with pytest.raises(SessionLost) as lost:
            called(patient, caller)
        asked.append(creations(caller) - 1)
        retry_after.append(lost.value.retry_after)
        assert (lost.value.status, lost.value.code) == (502, "session_lost")
    assert asked == [1, 1, 2, 2, 3, 3, 4]
    assert retry_after[::2] == [60, 120, 240, 480]
    platform.settings.lost_for_good = False
    session.is_gone = False
    assert called(patient, caller).session == session.name
    assert "wppLost" not in caller.row()["settings"]


def test_somebody_who_saw_that_a_session_is_lost_before_another_asked_in_vain_does_not_ask_again(
    caller: Caller, stack: Stack, patient: Runtime, meanwhile: Intervening
) -> None:
    caller.create()
    stack.platform.settings.lost_for_good = True
    stack.platform.lose(caller.session().name)
    has_looked, is_noted = Event(), Event()
    in_doubt = Intervening()
    second = Runtime(config_from(stack.environment()), Advancing().clock, in_doubt)

    def look() -> None:
        has_looked.set()
        is_noted.wait(20)

    with ThreadPoolExecutor(1) as threads:
        in_doubt.after("GET", "status", look, nth=2)

        def somebody_else_calls() -> None:  # the new credentials are saved, and not yet known to be in vain
            calling.append(threads.submit(called, second, caller))
            has_looked.wait(20)

        calling: list[Future[Connection]] = []
        # The third change of the row, after that of the token and that of the claim.
        meanwhile.after("PATCH", "messenger_integrations", somebody_else_calls, nth=3)
        with pytest.raises(SessionLost):
            called(patient, caller)
        is_noted.set()
        with pytest.raises(SessionLost) as lost:
            calling[0].result()
    second.close()
    assert creations(caller) == 2
    assert 0 < lost.value.retry_after <= 60
    assert caller.row()["settings"]["wppLost"]["times"] == 1


def test_a_session_that_cannot_be_started_because_it_is_not_known_is_asked_for_again(
    caller: Caller, patient: Runtime, time: Advancing
) -> None:
    caller.create()
    caller.stack.platform.disconnect(caller.session().name)
    unknown = Fault("start", status=404, body=GONE, times=2)
    caller.stack.platform_server.inject(unknown)
    assert called(patient, caller).status in ("starting", "qr_issued")
    assert (creations(caller), unknown.times) == (2, 0)
    assert time.waits == [5.0]
    assert "wppClaim" not in caller.row()["settings"]


def test_a_session_that_can_never_be_started_is_lost_until_it_can(
    caller: Caller, patient: Runtime, time: Advancing
) -> None:
    caller.create()
    caller.stack.platform.settings.create_starts = False
    caller.stack.platform.disconnect(caller.session().name)
    caller.stack.platform_server.inject(Fault("start", status=404, body=GONE, times=None))
    asked = []
    for wait in (0, 30, 40):
        time.advance(wait)
        with pytest.raises(SessionLost):
            called(patient, caller)
        asked.append(creations(caller) - 1)
    assert asked == [1, 1, 2]
    caller.stack.platform_server.clear_faults()
    time.advance(10)
    called(patient, caller)
    assert caller.session().started_at is not None
    assert "wppLost" not in caller.row()["settings"]


@pytest.mark.parametrize("body", OF_PROXIES)
def test_a_start_that_a_proxy_answers_404_is_an_error_and_nothing_is_lost(
    caller: Caller, patient: Runtime, time: Advancing, body: bytes
) -> None:
    caller.create()
    caller.stack.platform.disconnect(caller.session().name)
    caller.stack.platform_server.inject(Fault("start", status=404, body=body, times=None))
    with pytest.raises(UpstreamRefused):
        called(patient, caller)
    assert creations(caller) == 1
    assert time.waits == []


def test_a_key_that_is_refused_and_then_a_session_that_is_not_known_are_one_of_each(
    caller: Caller, patient: Runtime
) -> None:
    caller.create()
    caller.scan()
    caller.stack.platform.revoke_tokens(caller.session().name)
    # Twice for the two requests of one look, the status and the QR.
    caller.stack.platform_server.inject(Fault("token", status=403, body=REFUSED, times=2))
    caller.stack.platform_server.inject(Fault("status", status=404, body=GONE, skip=1))
    with pytest.raises(SessionGone):
        called(patient, caller)
    assert creations(caller) == 1
    assert called(patient, caller).status == "connected"


def test_a_session_that_is_not_known_and_then_a_key_that_is_refused_are_one_of_each(
    caller: Caller, patient: Runtime
) -> None:
    caller.create()
    caller.scan()
    caller.stack.platform_server.inject(Fault("status", status=404, body=GONE))
    caller.stack.platform_server.inject(Fault("token", status=403, body=REFUSED))
    with pytest.raises(KeyRefused):
        called(patient, caller)
    assert creations(caller) == 1
    assert called(patient, caller).status == "connected"


def test_a_session_that_the_platform_knows_only_once_it_was_started_is_started(
    caller: Caller, patient: Runtime
) -> None:
    not_yet = Fault("status", status=404, body=GONE)
    caller.stack.platform.settings.create_starts = False
    caller.stack.platform_server.inject(not_yet)
    assert called(patient, caller).status == "starting"
    assert caller.session().starts == 1
    assert creations(caller) == 1


def test_a_key_that_is_refused_once_is_not_replaced(caller: Caller, patient: Runtime, time: Advancing) -> None:
    caller.create()
    caller.scan()
    caller.stack.platform.revoke_tokens(caller.session().name)
    # For the two requests of one look, the status and the QR.
    caller.stack.platform_server.inject(Fault("token", status=403, body=REFUSED, times=2))
    assert called(patient, caller).status == "connected"
    assert creations(caller) == 1
    assert time.waits == [2.0]


def test_a_key_that_is_refused_twice_is_replaced_once_by_many(caller: Caller, runtime: Runtime) -> None:
    caller.create()
    caller.stack.platform.invalidate_key(caller.session().name)
    with ThreadPoolExecutor(8) as threads:
        assert len({c.api_key for c in threads.map(lambda _: called(runtime, caller), range(8))}) == 1
    assert creations(caller) == 2


def test_an_addition_passes_over_a_free_number_whose_session_is_lost(caller: Caller, patient: Runtime) -> None:
    primary = caller.create().json()["session"]
    caller.stack.platform.settings.lost_for_good = True
    caller.stack.platform.lose(primary)
    with pytest.raises(SessionLost):
        called(patient, caller)
    caller.stack.platform.settings.lost_for_good = False
    added = connect(patient.begin("wpp-create", "id"), caller.token, options=Options(add_new=True))
    assert added.session != primary
