"""A session of the local platform reports any word, and behaves as the word says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.platform_client import PlatformClient

CLOSED = [
    "offline", "disconnected", "closed", "browserClose", "autocloseCalled", "serverClose", "failed", "stopped", "unlaunched",
    "DISCONNECTED",
]  # fmt: skip
LOGGED_OUT = [
    "logout", "notLogged", "disconnectedMobile", "desconnectedMobile", "qrReadFail", "qrReadError", "UNPAIRED_IDLE", "not-logged",
]  # fmt: skip
CONNECTED = ["connected", "ready", "open", "authenticated", "inChat", "isLogged", "normal", "IN_CHAT"]
QR = ["qr_required", "qr", "qrcode", "unpaired", "scan_qr_code"]
BEFORE_THE_QR = [
    "starting", "pending", "opening", "initBrowser", "initWhatsapp", "openedWhatsapp", "initializing", "connecting",
]  # fmt: skip
AFTER_THE_SCAN = ["pairing", "syncing", "resuming", "qrReadSuccess", "timeout", "phoneNotConnected"]
BLOCKED = ["conflict", "TOS_BLOCK", "SMB_TOS_BLOCK", "PROXYBLOCK", "DEPRECATED_VERSION"]
OTHER = ["passkey_required", "never heard of"]


def test_a_word_is_reported_until_it_is_taken_back(client: PlatformClient) -> None:
    for word in (*CLOSED, *LOGGED_OUT, *CONNECTED, *QR, *BEFORE_THE_QR, *AFTER_THE_SCAN, *BLOCKED, *OTHER):
        client.act("report", word=word)
        assert client.state() == word
        assert (client.qr() is not None) == (word in QR)
    client.act("report", word=None)
    assert client.state() == "qr_required"


@pytest.mark.parametrize("word", [*CLOSED, *LOGGED_OUT])
def test_start_gives_an_ended_session_a_new_life_with_another_qr(client: PlatformClient, word: str) -> None:
    before = client.qr()
    client.act("report", word=word)
    assert client.start().json() == {"status": "starting"}
    assert client.state() == "qr_required"
    assert client.qr() not in (None, before)
    assert client.counted("starts", "restarts", "invalidated_qrs") == (2, 0, 0)


def test_a_phone_that_was_linked_needs_a_qr_only_after_words_that_say_so(client: PlatformClient) -> None:
    for words, state in ((CLOSED, "connected"), (LOGGED_OUT, "qr_required")):
        for word in words:
            client.act("scan")
            client.act("report", word=word)
            client.start()
            assert (word, client.state()) == (word, state)


@pytest.mark.parametrize("word", [*CONNECTED, *AFTER_THE_SCAN])
def test_start_leaves_a_linked_phone_alone_and_stop_unlinks_it(client: PlatformClient, word: str) -> None:
    is_connected = word in CONNECTED
    client.act("report", word=word)
    assert client.start().json() == {"status": "connected" if is_connected else "starting"}
    assert client.send().status_code == (202 if is_connected else 409)
    assert client.state() == word
    assert client.counted("starts", "restarts", "unlinked_phones") == (2, 0, 0)
    client.stop()
    assert client.state() == "offline"
    assert client.counted("unlinked_phones") == (1,)


@pytest.mark.parametrize("word", [*QR, *BEFORE_THE_QR, *BLOCKED, *OTHER])
def test_start_does_not_end_the_word_of_a_running_session_but_stop_and_start_do(
    client: PlatformClient, word: str
) -> None:
    client.act("report", word=word)
    client.start()
    assert client.state() == word
    assert client.counted("starts", "restarts") == (2, 1)
    client.stop()
    assert client.state() == "offline"
    client.start()
    assert client.state() == "qr_required"
    assert client.counted("restarts", "stops", "unlinked_phones") == (1, 1, 0)


def test_a_connected_number_loses_its_phone_for_a_while(client: PlatformClient) -> None:
    client.act("scan")
    for word in ("resuming", "phoneNotConnected"):
        client.act("report", word=word, seconds=200)
        client.control("clock", advance=100)
        client.start()
        assert (client.state(), client.send().status_code) == (word, 409)
        client.control("clock", advance=101)
        assert (client.state(), client.send().status_code) == ("connected", 202)
    assert client.counted("restarts", "unlinked_phones") == (0, 0)


def test_a_scan_and_a_logout_from_the_phone_end_a_word(client: PlatformClient) -> None:
    client.act("report", word="qrcode")
    client.act("scan")
    assert client.state() == "connected"
    client.act("report", word="phoneNotConnected")
    client.act("disconnect")
    assert client.state() == "offline"


def test_a_word_that_says_that_there_is_a_qr_does_not_make_one(client: PlatformClient) -> None:
    client.control("settings", qr_delay=1000)
    client.act("report", word="qrcode")
    assert (client.state(), client.qr()) == ("qrcode", None)
    client.act("scan")
    client.act("report", word="qrcode")
    assert (client.state(), client.qr()) == ("qrcode", None)
