"""Each word that a platform may report of a session leads somewhere, and nobody is logged out by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.faults import Fault
from tests.support.servers import wait_for
from wpp.provisioning.client import stored_client
from wpp.provisioning.disconnect import disconnect
from wpp.provisioning.look import look
from wpp.provisioning.options import Options, Target
from wpp.provisioning.service import connect
from wpp.provisioning.session import Session

if TYPE_CHECKING:
    from tests.support.advancing import Advancing
    from tests.support.callers import Caller
    from wpp.runtime import Invocation, Runtime

ENDED = [
    "offline", "disconnected", "closed", "logout", "notLogged", "browserClose", "disconnectedMobile", "desconnectedMobile",
    "autocloseCalled", "serverClose", "qrReadFail", "qrReadError", "UNPAIRED_IDLE", "failed", "stopped", "unlaunched",
    "DISCONNECTED", "not-logged",
]  # fmt: skip
CONNECTED = ["connected", "ready", "open", "authenticated", "inChat", "isLogged", "normal", "IN_CHAT"]
BEFORE_THE_QR = [
    "starting",
    "pending",
    "opening",
    "initBrowser",
    "initWhatsapp",
    "openedWhatsapp",
    "initializing",
    "connecting",
]
AFTER_THE_SCAN = ["pairing", "syncing", "resuming", "qrReadSuccess", "timeout", "phoneNotConnected"]
BLOCKED = ["conflict", "TOS_BLOCK", "SMB_TOS_BLOCK", "PROXYBLOCK", "DEPRECATED_VERSION"]
PLAIN, PRIMARY = Options(), Target()


def begin(patient: Runtime) -> Invocation:
    return patient.begin("wpp-create", "id")


@pytest.mark.parametrize("word", ENDED)
def test_an_ended_session_is_started_once_and_has_a_qr_with_the_next_call(
    caller: Caller, patient: Runtime, word: str
) -> None:
    caller.create()
    caller.stack.platform.settings.qr_delay = 0
    session, starts = caller.session(), caller.session().starts
    caller.stack.platform.report(session.name, word)
    connect(begin(patient), caller.token)
    assert connect(begin(patient), caller.token).status == "qr_issued"
    assert (session.starts - starts, session.stops) == (1, 0)


@pytest.mark.parametrize("word", CONNECTED)
@pytest.mark.parametrize("wait", [False, True])
def test_a_connected_session_is_never_started_and_noted_as_paired(
    caller: Caller, patient: Runtime, word: str, wait: bool
) -> None:
    caller.create()
    session, starts = caller.session(), caller.session().starts
    caller.stack.platform.report(session.name, word)
    assert connect(begin(patient), caller.token, wait=wait).status == "connected"
    assert (session.starts - starts, session.stops) == (0, 0)
    wait_for(lambda: caller.row()["settings"]["wppPaired"])


@pytest.mark.parametrize("word", [*BEFORE_THE_QR, *AFTER_THE_SCAN])
def test_a_paired_number_is_never_stopped_nor_started_however_long_it_takes(
    caller: Caller, patient: Runtime, time: Advancing, word: str
) -> None:
    caller.create()
    caller.scan()
    connect(begin(patient), caller.token)
    session, starts = caller.session(), caller.session().starts
    caller.stack.platform.report(session.name, word)
    for wait in (False, True):
        time.advance(600)
        assert connect(begin(patient), caller.token, wait=wait).status == "starting"
        assert look(begin(patient), caller.token, PRIMARY).status == "qr_pending"
    assert (session.starts - starts, session.stops) == (0, 0)


@pytest.mark.parametrize("word", AFTER_THE_SCAN)
def test_a_scanned_session_counts_as_paired_before_it_is_connected(caller: Caller, patient: Runtime, word: str) -> None:
    caller.create()
    caller.stack.platform.report(caller.session().name, word)
    connect(begin(patient), caller.token)
    wait_for(lambda: caller.row()["settings"]["wppPaired"])


@pytest.mark.parametrize("word", BLOCKED)
def test_a_blocked_session_is_left_alone_with_a_warning_that_names_the_state(
    caller: Caller, patient: Runtime, time: Advancing, word: str
) -> None:
    caller.create()
    session, starts = caller.session(), caller.session().starts
    caller.stack.platform.report(session.name, word)
    time.advance(600)
    caller.stack.platform_server.clear()
    invocation = begin(patient)
    assert connect(invocation, caller.token, wait=True).status == "starting"
    assert word in invocation.warnings[0]
    assert caller.stack.platform_server.count("status") == 1, "there is nothing to wait for"
    assert (session.starts - starts, session.stops) == (0, 0)


@pytest.mark.parametrize("word", ["passkey", "passkey_required", "PASSKEY-NEEDED"])
def test_a_passkey_is_a_warning_that_says_what_the_phone_asks_for(caller: Caller, patient: Runtime, word: str) -> None:
    caller.create()
    caller.stack.platform.report(caller.session().name, word)
    for look_only in (False, True):
        invocation = begin(patient)
        if look_only:
            assert look(invocation, caller.token, PRIMARY).status == "qr_pending"
        else:
            assert connect(invocation, caller.token).status == "starting"
        assert "passkey" in invocation.warnings[0]
    assert caller.session().stops == 0


def test_the_third_qr_that_nobody_scanned_is_a_warning(caller: Caller, patient: Runtime) -> None:
    caller.create()
    caller.stack.platform.settings.qr_delay = 0
    warned = []
    for turn in range(4):
        invocation = begin(patient)
        if turn % 2:
            connect(invocation, caller.token)
        else:
            look(invocation, caller.token, PRIMARY)
        warned.append(bool(invocation.warnings))
        caller.stack.clock.advance(20)
    assert warned == [False, False, True, True]
    caller.scan()
    look(begin(patient), caller.token, PRIMARY)
    caller.stack.platform.disconnect(caller.session().name)
    connect(begin(patient), caller.token)
    invocation = begin(patient)
    assert look(invocation, caller.token, PRIMARY).status == "qr_issued"
    assert invocation.warnings == []


def test_a_look_starts_nothing_whatever_the_session_reports(caller: Caller, patient: Runtime) -> None:
    caller.create()
    session, starts = caller.session(), caller.session().starts
    before = caller.row()
    for word in [*ENDED, *BEFORE_THE_QR, *BLOCKED, "passkey", "never heard of"]:
        caller.stack.platform.report(session.name, word)
        found = look(begin(patient), caller.token, PRIMARY)
        assert found.status in ("disconnected", "qr_pending")
    assert (session.starts - starts, session.stops) == (0, 0)
    assert caller.row() == before


def test_a_number_that_is_disconnected_meanwhile_is_not_started_by_somebody_who_waits_for_its_qr(
    caller: Caller, patient: Runtime
) -> None:
    caller.create()
    caller.stack.platform.settings.stuck_starting = True
    waiting = begin(patient)
    state = connect(waiting, caller.token)
    assert state.status == "starting"
    starts = caller.session().starts
    row = waiting.rows.by_id(caller.row()["id"])
    assert row is not None
    session = Session(waiting, stored_client(waiting, row))
    current = session.ensure_started()
    disconnect(begin(patient), caller.token, PRIMARY)
    session.wait_for_qr(current)
    assert caller.session().starts == starts
    assert caller.row()["is_active"] is False


def test_a_look_leaves_a_dead_claim_to_those_who_work(caller: Caller, patient: Runtime, time: Advancing) -> None:
    caller.create()
    caller.change_settings(wppClaim={"id": "died", "beat": 1, "doing": "start"})
    for _ in range(2):
        look(begin(patient), caller.token, PRIMARY)
        time.advance(7)
    assert caller.row()["settings"]["wppClaim"]["id"] == "died"


def test_a_wait_for_a_qr_goes_on_after_a_single_look_that_does_not_know_the_session(
    caller: Caller, patient: Runtime
) -> None:
    caller.create()
    caller.stack.platform.settings.qr_delay = 1000
    unknown = Fault("status", status=404, body=b'{"error": "Session not found"}', skip=1, times=1)
    caller.stack.platform_server.inject(unknown)
    invocation = begin(patient)
    invocation.config = invocation.config._replace(qr_wait_seconds=4)  # the status is asked for with every fifth look
    assert connect(invocation, caller.token, wait=True).status == "starting"
    assert unknown.times == 0


def test_a_qr_that_is_there_and_cannot_be_read_is_an_error_and_not_a_session_that_is_starting(caller: Caller) -> None:
    caller.stack.platform.settings.qr_delay = 0
    caller.create()
    caller.stack.platform_server.inject(Fault("qr", status=409, times=None))
    answer = caller.create()
    assert (answer.status_code, answer.json()["code"]) == (502, "platform_refused")
