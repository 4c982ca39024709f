"""What the local platform plays on demand over its controls: a stuck session, a lost one, and what a start or stop costs."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from tests.support.platform_client import PlatformClient

if TYPE_CHECKING:
    import requests

    from emulator.stack import Stack

LOST = (404, {"error": "Session not found"})


def answered(response: requests.Response) -> tuple[int, object]:
    return response.status_code, response.json()


def test_a_start_or_stop_that_takes_away_a_qr_is_counted_if_somebody_has_read_it(client: PlatformClient) -> None:
    client.start()
    assert client.counted("restarts", "invalidated_qrs") == (1, 0)
    first = client.qr()
    client.start()
    assert client.qr() != first
    client.act("report", word="connecting")
    client.stop()
    assert client.counted("restarts", "invalidated_qrs") == (2, 2)
    client.start()
    client.qr()
    client.control("clock", advance=20)
    client.stop()
    client.start()
    client.qr()
    client.act("report", word="browserClose")
    client.stop()
    assert client.counted("restarts", "invalidated_qrs") == (2, 2), "the first was too old, the second ended by itself"


def test_a_stop_that_unlinks_a_phone_is_counted(client: PlatformClient) -> None:
    client.stop()
    client.start()
    client.act("scan")
    client.start()
    client.act("report", word="starting")
    client.stop()
    assert client.counted("starts", "stops", "unlinked_phones", "connected") == (3, 2, 1, False)
    client.act("scan")
    client.act("report", word="logout")
    client.stop()
    client.act("report", word="passkey_required")
    client.stop()
    assert client.counted("stops", "unlinked_phones") == (4, 1)


def test_a_stopped_session_has_another_qr_once_it_is_started_and_is_the_same(client: PlatformClient) -> None:
    before = client.qr()
    assert client.stop().status_code == 200
    assert (client.state(), client.qr()) == ("offline", None)
    client.start()
    assert client.qr() not in (None, before)
    assert client.create() == (client.api_key, client.session)


@pytest.mark.parametrize("restarts", [1, 3])
def test_a_stuck_session_stays_before_its_qr_until_it_was_stopped_and_started_so_often(
    client: PlatformClient, restarts: int
) -> None:
    client.act("stick", restarts=restarts)
    for _ in range(restarts):
        client.start()
        assert (client.state(), client.qr()) == ("starting", None)
        client.stop()
        client.stop()
    client.start()
    assert client.state() == "qr_required"
    assert client.qr() is not None


def test_a_phone_with_a_long_history_is_linked_long_before_it_is_connected(client: PlatformClient) -> None:
    client.control("settings", sync_seconds=300, sync_word="pairing")
    client.act("scan")
    for _ in range(3):
        client.start()
        assert (client.state(), client.qr(), client.send().status_code) == ("pairing", None, 409)
        client.control("clock", advance=99)
    client.control("clock", advance=4)
    assert (client.state(), client.send().status_code) == ("connected", 202)
    client.stop()
    client.start()
    client.act("scan")
    client.stop()
    assert client.counted("restarts", "unlinked_phones") == (0, 2)


def test_a_lost_session_is_not_known_until_its_client_is_asked_for_again(client: PlatformClient, stack: Stack) -> None:
    other = PlatformClient(stack, str(uuid.uuid4()))
    client.act("lose")
    client.token = client.ask_for_token().json()["token"]
    for call in (client.status, client.start, client.stop, client.send):
        assert answered(call()) == LOST
    assert answered(client.get(f"/api/accounts/{client.session}/qr")) == LOST
    assert answered(client.register_webhook("https://product.example/hook")) == LOST
    assert other.state() == "qr_required"
    assert client.create() == (client.api_key, client.session)
    assert client.state() == "qr_required"
    assert client.counted("starts", "stops", "webhooks") == (1, 0, 0)


def test_a_session_that_is_lost_for_good_comes_back_and_is_still_not_known(
    client: PlatformClient, stack: Stack
) -> None:
    client.control("settings", lost_for_good=True)
    client.act("lose")
    assert client.create() == (client.api_key, client.session)
    assert answered(client.status()) == LOST
    assert PlatformClient(stack, str(uuid.uuid4())).state() == "qr_required", "it was never lost"
    client.control("settings", lost_for_good=False)
    client.create()
    assert client.state() == "qr_required"


@pytest.mark.parametrize("kind", ["text/html", "application/json"])
def test_a_proxy_in_front_of_the_platform_answers_404_of_its_own_and_nothing_is_lost(
    client: PlatformClient, kind: str
) -> None:
    body = {"text/html": "<html>404 Not Found</html>", "application/json": '{"message": "no Route matched"}'}[kind]
    headers = {"Content-Type": kind}
    client.control("faults", call="status", status=404, body=body, headers=headers, times=2)
    for _ in range(2):
        answer = client.status()
        assert (answer.status_code, answer.text, answer.headers["Content-Type"]) == (404, body, kind)
    assert client.state() == "qr_required"


def test_a_session_that_the_platform_never_had_can_be_neither_stopped_nor_started(client: PlatformClient) -> None:
    assert answered(client.post("/internal/session/client_x/stop")) == LOST
    assert answered(client.post("/api/accounts/start", number="client_x")) == LOST
    assert answered(client.post("/api/accounts/start")) == LOST
    assert client.counted("starts", "stops") == (1, 0)
