"""The local platform's clients: keys that are refused for a while or for good, and the webhook of each session."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from tests.support.platform_client import PlatformClient

if TYPE_CHECKING:
    from emulator.stack import Stack


def refused(client: PlatformClient) -> bool:
    answer = client.ask_for_token()
    if answer.status_code == 200:
        return False
    assert (answer.status_code, answer.json()) == (403, {"error": "Invalid API key"})
    return True


@pytest.mark.parametrize("times", [1, 2])
def test_a_key_is_refused_so_often_and_its_tokens_never(client: PlatformClient, stack: Stack, times: int) -> None:
    other = PlatformClient(stack, str(uuid.uuid4()))
    client.act("refuse-key", **({} if times == 1 else {"times": times}))
    assert not refused(other)
    assert [refused(client) for _ in range(4)] == [True] * times + [False] * (4 - times)
    assert client.status().status_code == 200


def test_a_key_is_refused_for_good_and_create_answers_it_again(client: PlatformClient) -> None:
    client.act("refuse-key", times=None)
    assert [refused(client) for _ in range(4)] == [True] * 4
    assert client.create() == (client.api_key, client.session)
    assert refused(client)
    assert client.status().status_code == 200


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_becomes_invalid_with_its_tokens_and_create_answers_another(client: PlatformClient, status: int) -> None:
    client.control("settings", refused_key_status=status)
    client.act("invalidate-key")
    assert [client.ask_for_token().status_code for _ in range(2)] == [status] * 2
    assert (client.status().status_code, client.status().json()) == (401, {"error": "Invalid token"})
    before = client.api_key
    client.api_key, session = client.create()
    assert client.api_key != before
    assert session == client.session
    client.token = client.ask_for_token().json()["token"]
    assert client.status().status_code == 200


def test_each_session_has_its_webhook_and_each_registration_is_counted(client: PlatformClient, stack: Stack) -> None:
    other = PlatformClient(stack, str(uuid.uuid4()))
    assert client.counted("webhook", "webhooks") == (None, 0)
    for address in ("https://product.example/a", "https://product.example/b", "https://product.example/b"):
        assert client.register_webhook(address).status_code == 200
    assert client.register_webhook("nowhere").status_code == 400
    client.stop()
    client.start()
    assert client.counted("webhook", "webhooks") == ("https://product.example/b", 3)
    assert other.counted("webhook", "webhooks") == (None, 0)
