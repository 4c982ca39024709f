"""What the local platform plays on demand, over its controls: odd words, a stuck session, a lost one, and what a stop costs."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
import requests

if TYPE_CHECKING:
    from emulator.stack import Stack


class Client:
    def __init__(self, stack: Stack, organization: str) -> None:
        self.organization = organization
        self.url = stack.platform_server.url
        created = self._sent(
            "POST", "/api/integrations/wpp/create", stack.platform.wpp_secret, organizationId=organization
        ).json()
        self.session = created["session"]
        self.token = self._sent("POST", "/auth/token", "", apiKey=created["apiKey"]).json()["token"]

    def _sent(self, method: str, path: str, bearer: str, **body: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {bearer}"}
        return requests.request(method, self.url + path, json=body or None, headers=headers, timeout=5)

    def status(self) -> requests.Response:
        return self._sent("GET", f"/api/accounts/{self.session}/status", self.token)

    def state(self) -> str:
        return str(self.status().json()["status"])

    def start(self) -> None:
        self._sent("POST", "/api/accounts/start", self.token, number=self.session)

    def stop(self) -> None:
        self._sent("POST", f"/internal/session/{self.session}/stop", self.token)

    def control(self, name: str, **body: Any) -> None:
        answer = requests.post(f"{self.url}/_emulator/{name}", json={"session": self.session, **body}, timeout=5)
        assert answer.status_code == 200

    def counted(self) -> dict[str, Any]:
        answer = requests.post(f"{self.url}/_emulator/state", json={}, timeout=5).json()
        return dict(next(session for session in answer["sessions"] if session["name"] == self.session))


@pytest.fixture
def client(stack: Stack) -> Client:
    stack.platform.settings.qr_delay = 0
    return Client(stack, str(uuid.uuid4()))


def test_a_session_reports_a_word_until_it_is_started(client: Client) -> None:
    client.control("report", word="browserClose")
    assert client.state() == "browserClose"
    client.start()
    assert client.state() == "qr_required"
    client.control("report", word="passkey_required")
    assert client.state() == "passkey_required"
    client.control("report", word=None)
    assert client.state() == "qr_required"


def test_a_stuck_session_stays_before_its_qr_until_it_is_stopped_and_started(client: Client) -> None:
    client.control("stick")
    assert client.state() == "starting"
    client.start()
    assert client.state() == "starting"
    client.stop()
    client.start()
    assert client.state() == "qr_required"


def test_a_lost_session_is_not_known_until_its_client_is_asked_for_again(client: Client, stack: Stack) -> None:
    client.control("lose")
    assert (client.status().status_code, client.status().json()) == (404, {"error": "Session not found"})
    again = Client(stack, client.organization)
    assert again.session == client.session
    assert client.state() == "qr_required"
    client.control("settings", lost_for_good=True)
    client.control("lose")
    Client(stack, client.organization)
    assert client.status().status_code == 404


def test_a_stop_that_unlinks_a_phone_is_counted(client: Client) -> None:
    client.stop()
    client.start()
    client.control("scan")
    client.stop()
    counted = client.counted()
    assert (counted["stops"], counted["unlinked_phones"], counted["connected"]) == (2, 1, False)
