"""The one call that is made with WPP_SECRET: the client of an organization is created, or named again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from emulator.faults import Fault
from wpp.errors import DeadlinePassed, UpstreamBroken, UpstreamRefused, UpstreamTimeout, UpstreamUnreadable
from wpp.platform.client import Credentials, create_client, is_session
from wpp.secret import PlainSecret

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.stack import Stack
    from wpp.http.upstream import Upstream
    from wpp.runtime import Runtime

CREATED = {"apiKey": "key_1", "session": "client_1", "status": "starting"}


@pytest.fixture
def upstream(runtime: Runtime) -> Upstream:
    return runtime.begin("test", "request-1", 8).upstream


@pytest.fixture
def create(stack: Stack, upstream: Upstream) -> Callable[..., Credentials]:
    def create(**how: object) -> Credentials:
        given = {"upstream": upstream, "idempotency_key": "idempotency-1", **how}
        return create_client(stack.platform_server.url, PlainSecret("secret-1"), "organization-1", **given)  # type: ignore[arg-type]

    return create


def answer(stack: Stack, body: object, status: int = 200) -> None:
    stack.platform_server.inject(Fault("create", status=status, body=json.dumps(body).encode()))


@pytest.mark.parametrize("status", [200, 201])
def test_a_client_is_created_by_one_request(stack: Stack, create: Callable[..., Credentials], status: int) -> None:
    answer(stack, CREATED, status)

    assert create() == Credentials("key_1", "client_1")

    (received,) = stack.platform_server.received
    request = received.request
    assert (request.method, request.path, request.query) == ("POST", "/api/integrations/wpp/create", "")
    assert request.json() == {"organizationId": "organization-1"}
    names = ("authorization", "idempotency-key", "x-request-id")
    assert [request.headers[name] for name in names] == ["Bearer secret-1", "idempotency-1", "request-1"]


def test_a_creation_whose_outcome_is_unknown_is_left_to_the_caller(
    stack: Stack, create: Callable[..., Credentials]
) -> None:
    answer(stack, {}, 503)
    with pytest.raises(UpstreamBroken) as caught:
        create()
    assert str(caught.value) == "WPP Platform failed with status 503 (create)"
    assert stack.platform_server.count("create") == 1


def test_a_creation_may_take_as_long_as_its_caller_says(stack: Stack, create: Callable[..., Credentials]) -> None:
    stack.platform_server.inject(Fault("create", "hang"))
    with pytest.raises(UpstreamTimeout):
        create(timeout=0.5)
    answer(stack, CREATED)
    assert create() == Credentials("key_1", "client_1")


def test_a_creation_is_not_sent_past_its_fence(stack: Stack, create: Callable[..., Credentials]) -> None:
    def fence() -> None:
        raise DeadlinePassed("looking")

    with pytest.raises(DeadlinePassed):
        create(fence=fence)
    assert not stack.platform_server.received


@pytest.mark.parametrize(
    ("status", "hint"),
    [(401, ": is WPP_SECRET right?"), (403, ": is WPP_SECRET right?"), (402, ""), (404, ""), (300, "")],
)
def test_a_refusal_names_the_secret_only_if_it_may_be_the_reason(
    stack: Stack, create: Callable[..., Credentials], status: int, hint: str
) -> None:
    answer(stack, {"error": "Invalid token"}, status)
    with pytest.raises(UpstreamRefused) as caught:
        create()
    assert str(caught.value) == f"WPP Platform refused with status {status}{hint} (create)"
    assert (caught.value.code, caught.value.upstream_status) == ("platform_refused", status)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (["key_1"], "a JSON object"),
        (CREATED | {"apiKey": ""}, "apiKey and session"),
        (CREATED | {"apiKey": None}, "apiKey and session"),
        (CREATED | {"apiKey": "a\nb"}, "apiKey and session"),
        (CREATED | {"session": None}, "apiKey and session"),
        (CREATED | {"session": "../x"}, "apiKey and session"),
        ({}, "apiKey and session"),
    ],
)
def test_credentials_that_cannot_be_used_are_an_error(
    stack: Stack, create: Callable[..., Credentials], body: object, expected: str
) -> None:
    answer(stack, body)
    with pytest.raises(UpstreamUnreadable) as caught:
        create()
    assert str(caught.value) == f"WPP Platform answered without {expected}, status 200 (create)"


@pytest.mark.parametrize(
    ("value", "is_one"),
    [("client_1", True), ("0000000000001", True), ("a.b", True), ("...", True), (".", False), ("..", False),
     ("a/b", False), ("a\\b", False), ("a?b", False), ("a#b", False), ("a%2fb", False), ("", False), (7, False),
     (None, False)],
)  # fmt: skip
def test_a_session_is_a_name_that_stays_one_segment_of_an_address(value: object, is_one: bool) -> None:
    assert is_session(value) is is_one


def test_credentials_are_shown_without_the_key() -> None:
    assert repr(Credentials("key_1", "client_1")) == "Credentials(***, 'client_1')"
