"""Where the token in use comes from: the process's memory, the row, or the platform."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import pytest

from emulator.faults import Fault
from wpp.cache import Recent
from wpp.errors import KeyRefused, UpstreamBroken, UpstreamRefused, UpstreamUnreadable
from wpp.http.upstream import Upstream
from wpp.platform.token import AccessToken, TokenSource

if TYPE_CHECKING:
    from emulator.stack import Stack
    from wpp.runtime import Runtime

NOW = 1_800_000_000.0
FRESH = AccessToken("fresh", NOW + 600, NOW + 570)


class Source(NamedTuple):
    stack: Stack
    upstream: Upstream
    memory: Recent[AccessToken]

    def tokens(self, stored: AccessToken | None = None) -> TokenSource:
        return TokenSource(self.stack.platform_server.url, "key_1", self.upstream, self.memory, stored)

    def issue(self, *texts: str) -> None:
        """What the platform answers to the next requests for a token."""
        for text in texts:
            body = json.dumps({"token": text, "expiresIn": 600}).encode()
            self.stack.platform_server.inject(Fault("token", status=200, body=body))

    @property
    def fetches(self) -> int:
        return self.stack.platform_server.count("token")


@pytest.fixture
def source(stack: Stack, runtime: Runtime) -> Source:
    given = runtime.begin("test", "request-1", 8).upstream
    clock = given.clock._replace(now=lambda: NOW)
    return Source(stack, Upstream(runtime.transport, given.deadline, clock, given.request_id), Recent())


def token(text: str, renew_at: float) -> AccessToken:
    return AccessToken(text, renew_at + 30, renew_at)


def test_the_token_is_asked_for_with_the_api_key_alone(source: Source) -> None:
    source.issue("fresh")
    tokens = source.tokens()
    assert (tokens.is_at_hand, tokens.current) == (False, None)

    assert tokens.value() == "fresh"

    (received,) = source.stack.platform_server.received
    request = received.request
    assert (request.method, request.path, request.query) == ("POST", "/auth/token", "")
    assert request.json() == {"apiKey": "key_1"}
    assert (request.headers.get("authorization"), request.headers["x-request-id"]) == (None, "request-1")
    assert source.memory.get("key_1") == FRESH
    assert (tokens.is_at_hand, tokens.current) == (True, FRESH)


def test_a_token_without_expires_in_lasts_for_15_minutes(source: Source) -> None:
    source.stack.platform_server.inject(Fault("token", status=201, body=b'{"token": "fresh"}'))
    assert source.tokens().value() == "fresh"
    assert source.memory.get("key_1") == AccessToken("fresh", NOW + 900, NOW + 870)


def test_what_the_process_remembers_comes_before_what_the_row_holds(source: Source) -> None:
    tokens = source.tokens(token("stored", NOW + 1))
    assert (tokens.value(), tokens.current) == ("stored", token("stored", NOW + 1))
    source.memory.put("key_1", token("remembered", NOW + 1))
    assert (tokens.value(), tokens.current) == ("remembered", token("remembered", NOW + 1))
    source.memory.put("key_1", token("remembered", NOW))
    assert tokens.value() == "stored"
    assert source.fetches == 0


@pytest.mark.parametrize(("renew_at", "used"), [(NOW - 1, "fresh"), (NOW, "fresh"), (NOW + 0.1, "stored")])
def test_a_stored_token_is_used_until_it_has_to_be_renewed(source: Source, renew_at: float, used: str) -> None:
    source.issue("fresh")
    tokens = source.tokens(token("stored", renew_at))
    assert tokens.is_at_hand == (used == "stored")
    assert tokens.value() == used


def test_a_refused_token_is_replaced_and_remembered_as_refused(source: Source) -> None:
    source.issue("fresh")
    tokens = source.tokens(token("stored", NOW + 1))
    before = tokens.refused
    assert tokens.renewed("stored") is True
    assert (before, tokens.refused) == (None, "stored")
    assert (tokens.value(), source.fetches) == ("fresh", 1)


def test_a_refused_token_that_was_replaced_meanwhile_costs_no_fetch(source: Source) -> None:
    source.memory.put("key_1", token("newer", NOW + 1))
    tokens = source.tokens(token("stored", NOW + 1))
    assert tokens.renewed("stored") is True
    assert (tokens.value(), source.fetches) == ("newer", 0)


def test_a_refused_token_that_has_ended_meanwhile_is_fetched(source: Source) -> None:
    source.issue("fresh")
    tokens = source.tokens(token("stored", NOW))
    assert tokens.renewed("another") is True
    assert source.fetches == 1
    assert tokens.value() == "fresh"


def test_a_token_can_be_fetched_whatever_is_at_hand(source: Source) -> None:
    source.issue("fresh")
    tokens = source.tokens(token("stored", NOW + 1))
    assert tokens.fetched() == "fresh"
    assert (tokens.value(), source.fetches) == ("fresh", 1)


def test_a_fetch_is_repeated_after_a_failure(source: Source) -> None:
    source.stack.platform_server.inject(Fault("token", status=503))
    source.issue("fresh")
    assert source.tokens().value() == "fresh"
    assert source.fetches == 2


def test_a_fetch_that_fails_is_named(source: Source) -> None:
    source.stack.platform_server.inject(Fault("token", status=503, headers={"Retry-After": "600"}))
    with pytest.raises(UpstreamBroken) as caught:
        source.tokens().value()
    assert str(caught.value) == "WPP Platform failed with status 503 (token)"


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("error", ["Invalid API key", "INVALID api KEY: revoked"])
def test_a_refused_key_is_named_as_such(source: Source, status: int, error: str) -> None:
    source.stack.platform_server.inject(Fault("token", status=status, body=json.dumps({"error": error}).encode()))
    with pytest.raises(KeyRefused) as caught:
        source.tokens().value()
    assert str(caught.value) == "WPP Platform refuses the organization's API key (token)"
    assert (caught.value.code, caught.value.upstream_status) == ("platform_refused", status)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"error": "Invalid API key"}),
        (402, {"error": "Invalid API key"}),
        (404, {"error": "Invalid API key"}),
        (401, {"error": "Invalid token"}),
        (403, {"error": ["Invalid API key"]}),
        (403, {"message": "Invalid API key"}),
        (403, ["error"]),  # as of a proxy: it must not get a good key replaced
        (300, {"token": "x"}),
    ],
)
def test_any_other_refusal_says_nothing_about_the_key(source: Source, status: int, body: object) -> None:
    source.stack.platform_server.inject(Fault("token", status=status, body=json.dumps(body).encode()))
    with pytest.raises(UpstreamRefused) as caught:
        source.tokens().value()
    assert type(caught.value) is UpstreamRefused
    assert str(caught.value) == f"WPP Platform refused with status {status} (token)"


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b'["token"]', b"{}", b'{"token": null}', b'{"token": ""}', b'{"token": 5}', b'{"token": "a\\nb"}',
     b'{"token": "\\u00e4"}', b'{"token": "%s"}' % (b"x" * 4097)],
)  # fmt: skip
def test_a_response_without_a_token_that_can_be_sent_is_an_error(source: Source, body: bytes) -> None:
    source.stack.platform_server.inject(Fault("token", status=200, body=body))
    tokens = source.tokens()
    with pytest.raises(UpstreamUnreadable) as caught:
        tokens.value()
    assert str(caught.value) == "WPP Platform answered without a token, status 200 (token)"
    assert tokens.current is None
