"""Scans of the local platform's QR that do not lead to a connected number."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.platform_client import PlatformClient


def test_an_account_that_is_asked_for_a_passkey_reports_it_until_the_phone_gives_up(client: PlatformClient) -> None:
    client.control("settings", passkey_word="passkey_required")
    first = client.qr()
    client.act("scan")
    client.control("clock", advance=500)
    client.start()
    assert (client.state(), client.qr(), client.send().status_code) == ("passkey_required", None, 409)
    client.control("clock", advance=200)
    assert client.state() == "qr_required"
    assert client.qr() not in (None, first)
    assert client.counted("scans", "connected", "unlinked_phones") == (1, False, 0)


def test_a_session_that_waits_for_a_passkey_can_be_restarted_and_no_phone_is_unlinked(client: PlatformClient) -> None:
    client.control("settings", passkey_word="passkey-needed")
    client.act("scan")
    assert client.state() == "passkey-needed"
    client.stop()
    client.start()
    client.control("settings", passkey_word="")
    assert client.state() == "qr_required"
    client.act("scan")
    assert client.state() == "connected"
    assert client.counted("scans", "unlinked_phones") == (2, 0)


def test_a_scan_that_leads_nowhere_leaves_one_qr_after_the_other(client: PlatformClient) -> None:
    client.control("settings", scans_do_nothing=True)
    qrs = []
    for _ in range(4):
        qrs.append(client.qr())
        client.act("scan")
        assert client.state() == "qr_required"
        client.control("clock", advance=20)
    assert None not in qrs
    assert len(set(qrs)) == 4
    assert client.counted("scans", "connected", "unlinked_phones") == (4, False, 0)
