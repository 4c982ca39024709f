"""What an invocation does around its requests: credentials, pauses, work beside the work, the errors for what it refuses."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass

import pytest

from tests.support.scripted import OK, Script
from wpp.clock import Deadline
from wpp.errors import DeadlinePassed, UpstreamBroken, UpstreamRefused, UpstreamUnreadable
from wpp.http.messages import Request, Response
from wpp.http.upstream import Upstream, malformed, refusal

REFUSED, FORBIDDEN = Response(401, {}, b""), Response(403, {}, b"")


# Credentials


@dataclass
class Key:
    current: str
    next: str | None = None

    def value(self) -> str:
        return self.current

    def renewed(self, refused: str) -> bool:
        if self.next is None or refused != self.current:
            return False
        self.current, self.next = self.next, None
        return True


def with_key(key: str) -> Request:
    return Request("supabase", "x", "GET", "https://a.example", {"apikey": key})


@pytest.mark.parametrize(
    ("key", "outcomes", "status", "keys"),
    [
        (Key("old", "new"), [OK], 200, ["old"]),
        (Key("old", "new"), [Response(404, {}, b"")], 404, ["old"]),
        (Key("old", "new"), [REFUSED, OK], 200, ["old", "new"]),
        (Key("old", "new"), [FORBIDDEN, OK], 200, ["old", "new"]),
        (Key("old", "new"), [REFUSED], 401, ["old", "new"]),
        (Key("old"), [REFUSED], 401, ["old"]),
    ],
)
def test_a_credential_that_is_refused_is_replaced_once_if_there_is_another(
    key: Key, outcomes: list[Response], status: int, keys: list[str]
) -> None:
    script = Script(*outcomes)
    assert script.upstream().send_with(key, with_key).status == status
    assert [sent.headers["apikey"] for sent in script.sent] == keys


def test_what_a_refusal_looks_like_may_differ() -> None:
    script = Script(Response(400, {}, b""), REFUSED)
    response = script.upstream().send_with(Key("old", "new"), with_key, lambda response: response.status == 400)
    assert (response.status, len(script.sent)) == (401, 2)


# Pauses


def test_pauses_between_looks_grow() -> None:
    script = Script()
    upstream = script.upstream()
    for attempt in (1, 2, 3):
        upstream.pause(attempt, "waiting for the QR")
    assert script.pauses == [0.2, 0.4, 0.8]


def test_a_pause_that_would_outlast_the_call_ends_it() -> None:
    script = Script()
    with pytest.raises(DeadlinePassed, match=r"^Time ran out while waiting for the QR; try again$"):
        script.upstream(0.2).pause(1, "waiting for the QR")
    assert script.pauses == []


@pytest.mark.parametrize(("asked", "pause"), [(None, 0.4), (0.1, 0.4), (3.0, 3.0)])
def test_a_pause_after_a_failure_is_as_long_as_the_upstream_asked_for(asked: float | None, pause: float) -> None:
    script = Script()
    script.upstream().pause_after(UpstreamBroken("platform", "x", "failed", retry_after=asked), 2)
    assert script.pauses == [pause]


@pytest.mark.parametrize(("seconds", "within"), [(3.0, 60.0), (60.0, 3.0)])
def test_a_pause_after_a_failure_that_would_outlast_the_time_left_ends_in_that_failure(
    seconds: float, within: float
) -> None:
    error = UpstreamBroken("platform", "x", "failed", retry_after=3.0)
    with pytest.raises(UpstreamBroken) as caught:
        Script().upstream(seconds).pause_after(error, 1, within=within)
    assert caught.value is error


# Beside the work


def test_tidying_is_a_part_of_the_same_invocation_and_goes_on_after_its_deadline() -> None:
    script = Script(OK)
    upstream = Upstream(script, Deadline(8.0, script.clock), script.clock, "r-1", uniform=lambda _, high: high)
    tidying = upstream.for_tidying()
    tidying.pause(1, "tidying")
    script.seconds = 7.25  # of eight, one of which is kept
    with pytest.raises(DeadlinePassed):
        upstream.send(with_key("k"))
    tidying.send(with_key("k"))
    assert script.pauses == [0.2]
    assert tidying.trace is upstream.trace
    assert script.sent[0].headers["X-Request-Id"] == "r-1"
    assert script.sent[0].timeout == 0.5


def test_work_beside_the_work_is_over_with_the_block() -> None:
    may_end = threading.Event()

    def work() -> int:
        may_end.wait(10)
        return 7

    with Script().upstream().alongside(work) as future:
        assert not future.done()
        may_end.set()
    assert future.done()
    assert future.result() == 7


def test_work_beside_the_work_is_waited_for_when_the_block_fails() -> None:
    may_end = threading.Event()
    with suppress(KeyError), Script().upstream().alongside(lambda: may_end.wait(10)) as future:
        may_end.set()
        raise KeyError
    assert future.done()


def test_work_that_only_helps_is_left_behind_when_the_patience_ends() -> None:
    may_end = threading.Event()
    with Script().upstream().alongside(lambda: may_end.wait(10), lambda: 0.0) as future:
        pass
    assert not future.done()
    may_end.set()
    assert future.result(10)


# Refusals


def test_a_refusal_names_the_status_and_our_own_reason() -> None:
    error = refusal("supabase", "auth.user", Response(401, {}, b"a secret"), "is SUPABASE_ANON_KEY right?")
    assert type(error) is UpstreamRefused
    assert str(error) == "Supabase refused with status 401: is SUPABASE_ANON_KEY right? (auth.user)"
    assert (error.system, error.call, error.upstream_status) == ("supabase", "auth.user", 401)
    assert str(refusal("platform", "qr", FORBIDDEN)) == "WPP Platform refused with status 403 (qr)"


def test_a_response_that_cannot_be_read_is_described_by_what_was_expected() -> None:
    error = malformed("platform", "qr", "a QR", Response(200, {}, b"a secret"))
    assert type(error) is UpstreamUnreadable
    assert str(error) == "WPP Platform answered without a QR, status 200 (qr)"
    assert (error.system, error.call, error.upstream_status) == ("platform", "qr", 200)
