"""What each call of the platform sends, how often, and what it makes of the response."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from emulator.faults import Fault
from wpp.cache import Recent
from wpp.errors import DeadlinePassed, SessionGone, UpstreamBroken, UpstreamRefused, UpstreamUnreadable
from wpp.platform.client import Credentials, WppClient
from wpp.platform.state import SessionState, State
from wpp.platform.token import AccessToken, TokenSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.messages import Request
    from emulator.stack import Stack
    from wpp.http.upstream import Upstream
    from wpp.runtime import Runtime

    Call = Callable[[WppClient], Any]

IN_2100 = 4102444800.0
SENT: dict[str, tuple[Call, dict[str, Any], tuple[str, str, Any]]] = {
    # by the call's name: the call, the response, and the request's method, path and body
    "start": (
        lambda client: client.start(),
        {"status": "starting"},
        ("POST", "/api/accounts/start", {"number": "client 1"}),
    ),
    "status": (lambda client: client.status(), {"status": "open"}, ("GET", "/api/accounts/client 1/status", None)),
    "qr": (lambda client: client.qr(), {"qr": "2@x"}, ("GET", "/api/accounts/client 1/qr", None)),
    "stop": (lambda client: client.stop(), {}, ("POST", "/internal/session/client 1/stop", {})),
    "webhook": (
        lambda client: client.webhook("https://a.example/hook"),
        {},
        ("POST", "/internal/session/client 1/webhook", {"url": "https://a.example/hook"}),
    ),
    "text": (
        lambda client: client.send_text("123", "hello"),
        {"taskId": "t"},
        ("POST", "/api/messages/text", {"type": "text", "to": "123", "text": "hello"}),
    ),
    "image": (
        lambda client: client.send_image("123", "https://a.example/i.png"),
        {"taskId": "t"},
        (
            "POST",
            "/api/messages/image",
            {"type": "image", "to": "123", "url": "https://a.example/i.png", "caption": ""},
        ),
    ),
    "file": (
        lambda client: client.send_file("123", "https://a.example/f", "f.pdf"),
        {"taskId": "t"},
        (
            "POST",
            "/api/messages/file",
            {"type": "file", "to": "123", "url": "https://a.example/f", "filename": "f.pdf"},
        ),
    ),
    "location": (
        lambda client: client.send_location("123", 1.5, 2.5),
        {"taskId": "t"},
        (
            "POST",
            "/api/messages/location",
            {"account": "client 1", "to": "123", "lat": 1.5, "lng": 2.5, "name": "", "address": ""},
        ),
    ),
    "react": (
        lambda client: client.react("123", "wamid", "x"),
        {"taskId": "t"},
        ("POST", "/api/messages/react", {"to": "123", "waMessageId": "wamid", "emoji": "x"}),
    ),
    "delete": (lambda client: client.delete_message("t/1"), {}, ("DELETE", "/api/messages/t/1", None)),
}
REPEATED = {"status", "qr", "stop", "webhook", "delete"}


@pytest.fixture
def upstream(runtime: Runtime) -> Upstream:
    return runtime.begin("test", "request-1", 8).upstream


@pytest.fixture
def client(stack: Stack, upstream: Upstream) -> WppClient:
    """With a token at hand, so that nothing but the call itself is sent."""
    url = stack.platform_server.url
    tokens = TokenSource(url, "key_1", upstream, Recent(), AccessToken("token-1", IN_2100, IN_2100))
    return WppClient(url, Credentials("key_1", "client 1"), upstream, tokens)


def answer(stack: Stack, body: object, status: int = 200) -> None:
    stack.platform_server.inject(Fault("*", status=status, body=json.dumps(body).encode()))


def received(stack: Stack) -> Request:
    (one,) = stack.platform_server.received
    return one.request


@pytest.mark.parametrize("name", SENT)
def test_each_call_is_one_authorized_request(stack: Stack, client: WppClient, name: str) -> None:
    call, response, (method, path, body) = SENT[name]
    answer(stack, response)

    call(client)

    request = received(stack)
    assert (request.method, request.path, request.query, request.json()) == (method, path, "", body)
    assert bool(request.body) == (body is not None)
    headers = {name: request.headers[name] for name in ("authorization", "x-request-id")}
    assert headers == {"authorization": "Bearer token-1", "x-request-id": "request-1"}


@pytest.mark.parametrize("name", SENT)
def test_what_may_have_had_its_effect_is_repeated_only_where_twice_does_no_harm(
    stack: Stack, client: WppClient, name: str
) -> None:
    call, response, _ = SENT[name]
    answer(stack, {}, 503)
    answer(stack, response)
    if name in REPEATED:
        call(client)
        assert len(stack.platform_server.received) == 2
    else:
        with pytest.raises(UpstreamBroken):
            call(client)
        assert len(stack.platform_server.received) == 1


@pytest.mark.parametrize("name", SENT)
def test_a_call_that_fails_is_named(stack: Stack, client: WppClient, name: str) -> None:
    stack.platform_server.inject(Fault("*", status=503, headers={"Retry-After": "600"}))
    with pytest.raises(UpstreamBroken) as caught:
        SENT[name][0](client)
    assert str(caught.value) == f"WPP Platform failed with status 503 ({name})"


def test_a_stop_is_sent_once_for_somebody_who_asks_for_that(stack: Stack, client: WppClient) -> None:
    answer(stack, {}, 503)
    with pytest.raises(UpstreamBroken):
        client.stop(once=True)
    assert len(stack.platform_server.received) == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.qr(patience=2),
        lambda client: client.stop(patience=2),
        lambda client: client.webhook("https://a.example/hook", patience=2),
    ],
    ids=["qr", "stop", "webhook"],
)
def test_a_call_is_not_repeated_beyond_the_callers_patience(stack: Stack, client: WppClient, call: Call) -> None:
    stack.platform_server.inject(Fault("*", status=503, headers={"Retry-After": "3"}))
    with pytest.raises(UpstreamBroken):
        call(client)
    assert len(stack.platform_server.received) == 1


@pytest.mark.parametrize(
    "call", [lambda client, fence: client.start(fence), lambda client, fence: client.stop(fence=fence)]
)
def test_a_start_and_a_stop_are_not_sent_past_their_fence(
    stack: Stack, client: WppClient, call: Callable[[WppClient, Callable[[], None]], None]
) -> None:
    def fence() -> None:
        raise DeadlinePassed("looking")

    with pytest.raises(DeadlinePassed):
        call(client, fence)
    assert not stack.platform_server.received


@pytest.mark.parametrize("name", sorted(SENT))
@pytest.mark.parametrize("status", [300, 400, 409])
def test_every_refusal_names_the_call_and_the_status(stack: Stack, client: WppClient, name: str, status: int) -> None:
    answer(stack, {"error": "something private"}, status)
    with pytest.raises(UpstreamRefused) as caught:
        SENT[name][0](client)
    assert type(caught.value) is UpstreamRefused
    assert str(caught.value) == f"WPP Platform refused with status {status} ({name})"
    assert (caught.value.code, caught.value.upstream_status) == ("platform_refused", status)


@pytest.mark.parametrize("name", ["start", "status", "stop"])
def test_the_platforms_own_404_says_that_the_session_is_gone(stack: Stack, client: WppClient, name: str) -> None:
    answer(stack, {"error": "Session not found"}, 404)
    with pytest.raises(SessionGone) as caught:
        SENT[name][0](client)
    assert str(caught.value) == f"WPP Platform does not know the session ({name})"
    assert (caught.value.code, caught.value.upstream_status) == ("platform_refused", 404)


@pytest.mark.parametrize(
    "body",
    [None, ["error"], {}, {"error": 404}, {"message": "Not found"}]
    + [{"error": "Not Found", name: "x"} for name in ("message", "path", "statusCode", "timestamp")],
)
def test_a_404_of_a_proxy_says_nothing_about_the_session(stack: Stack, client: WppClient, body: object) -> None:
    answer(stack, body, 404)
    with pytest.raises(UpstreamRefused) as caught:
        client.status()
    assert type(caught.value) is UpstreamRefused


@pytest.mark.parametrize(
    ("response", "state"),
    [
        ({"status": "connected"}, SessionState(State.CONNECTED)),
        ({"state": "ready"}, SessionState(State.CONNECTED)),
        ({"qr": "2@x"}, SessionState(State.QR_REQUIRED, "2@x")),
        ({"status": "starting", "data": {"qr": "2@x"}}, SessionState(State.QR_REQUIRED, "2@x")),
    ],
)
def test_a_start_answers_with_the_state_or_with_the_qr(
    stack: Stack, client: WppClient, response: object, state: SessionState
) -> None:
    answer(stack, response, 201)
    assert client.start() == state


@pytest.mark.parametrize(
    ("name", "body", "expected"),
    [
        ("start", {}, "a status or a QR"),
        ("start", [], "a JSON object"),
        ("status", {"qr": "2@x"}, "a status"),
        ("status", "open", "a JSON object"),
        ("qr", ["2@x"], "a JSON object"),
        ("text", {}, "a taskId"),
        ("text", {"taskId": 5}, "a taskId"),
        ("text", {"taskId": "a\nb"}, "a taskId"),
        ("react", None, "a JSON object"),
    ],
)
def test_a_response_that_cannot_be_read_names_what_was_expected(
    stack: Stack, client: WppClient, name: str, body: object, expected: str
) -> None:
    answer(stack, body)
    with pytest.raises(UpstreamUnreadable) as caught:
        SENT[name][0](client)
    assert str(caught.value) == f"WPP Platform answered without {expected}, status 200 ({name})"


@pytest.mark.parametrize(
    ("response", "task_id"), [({"taskId": "a", "id": "b"}, "a"), ({"taskId": "", "id": "b"}, "b"), ({"id": "b"}, "b")]
)
def test_a_message_answers_with_its_task(stack: Stack, client: WppClient, response: object, task_id: str) -> None:
    answer(stack, response, 202)
    assert client.send_text("123", "hello") == task_id


def test_a_message_that_is_not_accepted_is_refused_in_our_words(stack: Stack, client: WppClient) -> None:
    answer(stack, {"status": "error", "message": "something private", "taskId": "t"})
    with pytest.raises(UpstreamRefused) as caught:
        client.send_text("123", "hello")
    assert str(caught.value) == "WPP Platform refused with status 200: the message was not accepted (text)"


@pytest.mark.parametrize(("status", "body"), [(404, {"error": "no QR"}), (404, None), (200, {"qr": None})])
def test_a_qr_that_is_not_there_yet_is_none(stack: Stack, client: WppClient, status: int, body: object) -> None:
    answer(stack, body, status)
    assert client.qr() is None


def test_a_refused_token_is_renewed_for_the_same_call(stack: Stack, client: WppClient) -> None:
    answer(stack, {"error": "Invalid token"}, 401)
    answer(stack, {"token": "token-2"})
    answer(stack, {"status": "starting"})
    assert client.start() == SessionState(State.STARTING)
    sent = [(r.call, r.request.headers.get("authorization")) for r in stack.platform_server.received]
    assert sent == [("start", "Bearer token-1"), ("token", None), ("start", "Bearer token-2")]
