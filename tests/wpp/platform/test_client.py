"""Every call of WPP Platform, over real sockets against the emulated one."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from emulator.faults import Fault
from emulator.stack import WPP_SECRET
from wpp.errors import KeyRefused, UpstreamBroken, UpstreamError, UpstreamRefused
from wpp.platform.client import Credentials, WppClient, create_client
from wpp.platform.state import State
from wpp.platform.token import stored_token
from wpp.provisioning.client import platform_client
from wpp.secret import PlainSecret

if TYPE_CHECKING:
    from emulator.platform.sessions import Session
    from emulator.stack import Stack
    from wpp.runtime import Invocation, Runtime


@pytest.fixture
def invocation(runtime: Runtime) -> Invocation:
    return runtime.begin("test", "request-1", 8)


def created(invocation: Invocation, organization_id: str | None = None) -> Credentials:
    return create_client(
        invocation.config.wpp_base_url,
        invocation.config.wpp_secret,
        organization_id or str(uuid.uuid4()),
        upstream=invocation.upstream,
        idempotency_key=str(uuid.uuid4()),
    )


@pytest.fixture
def client(invocation: Invocation) -> WppClient:
    return platform_client(invocation, created(invocation))


@pytest.fixture
def session(stack: Stack, client: WppClient) -> Session:
    return stack.platform.sessions[client.credentials.session]


def test_create_is_asked_with_the_secret_and_the_idempotency_key(stack: Stack, invocation: Invocation) -> None:
    organization_id = str(uuid.uuid4())

    credentials = created(invocation, organization_id)

    (received,) = [r for r in stack.platform_server.received if r.call == "create"]
    assert received.request.json() == {"organizationId": organization_id}
    assert received.request.headers["authorization"] == f"Bearer {WPP_SECRET}"
    assert str(uuid.UUID(received.request.headers["idempotency-key"])) == received.request.headers["idempotency-key"]
    (stored,) = stack.platform.clients_of(organization_id)
    assert credentials == Credentials(stored.api_key, stored.session)


def test_a_wrong_secret_is_refused_by_its_variable_and_never_by_its_value(invocation: Invocation) -> None:
    url = invocation.config.wpp_base_url
    with pytest.raises(UpstreamRefused, match="WPP_SECRET") as caught:
        create_client(url, PlainSecret("wrong-secret"), "org", upstream=invocation.upstream, idempotency_key="key")
    assert "wrong-secret" not in str(caught.value)


def test_start_status_qr_and_stop_follow_the_session(stack: Stack, client: WppClient, session: Session) -> None:
    stack.platform.settings.qr_delay = 0
    assert client.status().state is State.QR_REQUIRED
    assert client.qr() == stack.platform.qr(session)

    stack.platform.scan(session.name)
    assert client.status().state is State.CONNECTED
    assert client.qr() is None

    client.stop()
    assert client.status().state is State.ENDED
    assert client.start().state is State.STARTING
    assert session.restarts == 0


def test_start_may_answer_with_the_qr_itself(stack: Stack, client: WppClient, session: Session) -> None:
    stack.platform.disconnect(session.name)
    stack.platform.settings.qr_delay = 0
    stack.platform.settings.start_answers_qr = True
    said = client.start()
    assert (said.state, said.qr) == (State.QR_REQUIRED, stack.platform.qr(session))


@pytest.mark.parametrize("field", ["status", "state"])
def test_the_state_may_be_called_status_or_state(stack: Stack, client: WppClient, field: str) -> None:
    stack.platform.settings.state_field = field
    assert client.status().state is State.STARTING


@pytest.mark.parametrize("body", [b"", b"null", b"{}", b'{"status": null}', b'{"status": 3}', b'"offline"', b"<html>"])
def test_a_state_that_cannot_be_read_is_an_error_and_not_offline(stack: Stack, client: WppClient, body: bytes) -> None:
    stack.platform_server.inject(Fault("status", status=200, body=body))
    with pytest.raises(UpstreamBroken):
        client.status()


def test_a_missing_qr_is_none_also_as_404(stack: Stack, client: WppClient) -> None:
    stack.platform.settings.qr_delay = 60
    assert client.qr() is None
    stack.platform_server.inject(Fault("qr", status=404))
    assert client.qr() is None


def test_the_webhook_is_registered_for_the_session(client: WppClient, session: Session) -> None:
    client.webhook("https://product.example/hook")
    assert session.webhook == "https://product.example/hook"


def test_messages_of_every_kind_are_queued_and_can_be_deleted(
    stack: Stack, client: WppClient, session: Session
) -> None:
    stack.platform.scan(session.name)

    tasks = [
        client.send_text("123", "hello"),
        client.send_image("123", "https://example.com/a.png", "look"),
        client.send_file("123", "https://example.com/a.pdf", "a.pdf"),
        client.send_location("123", 1.5, 2.5, "here", "there"),
        client.react("123", "wamid", "👍"),
    ]

    sent = [stack.platform.messages[task] for task in tasks]
    assert sent[0]["text"] == "hello"
    assert sent[1]["caption"] == "look"
    assert sent[2]["filename"] == "a.pdf"
    assert (sent[3]["account"], sent[3]["lat"], sent[3]["lng"]) == (session.name, 1.5, 2.5)
    assert (sent[4]["waMessageId"], sent[4]["emoji"]) == ("wamid", "👍")
    client.delete_message(tasks[0])
    assert tasks[0] not in stack.platform.messages
    with pytest.raises(UpstreamRefused):
        client.delete_message(tasks[0])


def test_a_session_name_cannot_leave_its_place_in_the_path(stack: Stack, invocation: Invocation) -> None:
    client = platform_client(invocation, Credentials(created(invocation).api_key, "../../auth?x=1#"))
    with pytest.raises(UpstreamError):
        client.status()
    assert stack.platform_server.received[-1].request.path == "/api/accounts/../../auth?x=1#/status"


@pytest.mark.parametrize("name", [".", ".."])
def test_a_name_that_no_quoting_keeps_in_its_place_is_not_called(
    stack: Stack, client: WppClient, invocation: Invocation, name: str
) -> None:
    stack.platform_server.clear()
    with pytest.raises(ValueError, match="cannot be a segment of an address"):
        platform_client(invocation, Credentials("key", name))
    with pytest.raises(ValueError, match="cannot be a segment of an address"):
        client.delete_message(name)
    assert not stack.platform_server.received


def test_a_token_is_fetched_once_and_used_for_all_calls(stack: Stack, client: WppClient) -> None:
    for _ in range(3):
        client.status()
    assert stack.platform_server.count("token") == 1


def test_a_refused_token_is_renewed_once(stack: Stack, client: WppClient, session: Session) -> None:
    client.status()
    stack.platform.revoke_tokens(session.name)
    client.status()
    assert stack.platform_server.count("token") == 2


def test_a_token_that_stays_refused_ends_in_an_error(stack: Stack, client: WppClient) -> None:
    stack.platform_server.inject(Fault("status", status=401, body=b'{"error":"Invalid token"}', times=None))
    with pytest.raises(UpstreamRefused):
        client.status()
    assert stack.platform_server.count("status") == 2
    assert stack.platform_server.count("token") == 2


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_told_from_other_refusals(
    stack: Stack, client: WppClient, session: Session, status: int
) -> None:
    stack.platform.settings.refused_key_status = status
    stack.platform.invalidate_key(session.name)
    with pytest.raises(KeyRefused):
        client.tokens.value()


def test_a_stored_token_saves_the_fetch(stack: Stack, invocation: Invocation, client: WppClient) -> None:
    import time

    stored = stored_token(client.tokens.value(), int((time.time() + 600) * 1000))
    invocation.memory.clear()
    again = platform_client(invocation, client.credentials, stored)
    again.status()
    assert stack.platform_server.count("token") == 1
    assert again.tokens.current == stored
