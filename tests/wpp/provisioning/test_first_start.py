"""The first start of a new client's session, under the claim that it was created with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.alone import BEGIN, GET, LOST, LOST_AFTERWARDS, PATCH, POST, TIMED_OUT, Alone, answer
from wpp.platform.state import State

if TYPE_CHECKING:
    from emulator.supabase.app import SupabaseApp

CREATED = [POST, "create", "token", PATCH]
LOOK = ["webhook", "qr", "status"]


@pytest.fixture
def alone(supabase: SupabaseApp) -> Alone:
    alone = Alone(supabase)
    alone.platform.settings.create_starts = False
    return alone


def test_the_claim_is_released_beside_the_start(alone: Alone) -> None:
    connected = alone.connect()
    assert connected.state.state is State.STARTING
    assert connected.invocation.upstream.trace.events == {"client_created": 1, "start": 1}
    assert alone.session().starts == 1
    assert alone.settings().items() >= {"wppStartedAt": BEGIN * 1000, "wppPaired": False}.items()
    assert "wppClaim" not in alone.settings()
    assert alone.calls() == [*CREATED, *LOOK, PATCH, "start"]


def test_a_session_that_create_has_started_is_not_started(alone: Alone) -> None:
    alone.platform.settings.create_starts = True
    connected = alone.connect()
    assert connected.state.state is State.QR_REQUIRED
    assert alone.settings().items() >= {"wppQrShown": True, "wppPaired": False}.items()
    assert "wppClaim" not in alone.settings()
    assert alone.calls() == [*CREATED, *LOOK, PATCH]


def test_a_session_that_the_platform_knows_only_once_it_was_started_is_started(alone: Alone) -> None:
    alone.instead("status", answer(404, {"error": "Session not found"}))
    assert alone.connect().state.state is State.STARTING
    assert alone.session().starts == 1


def test_a_lost_start_is_sent_again_under_a_claim_of_its_own(alone: Alone) -> None:
    alone.instead("start", TIMED_OUT)
    connected = alone.connect()
    assert connected.state.state is State.STARTING
    assert connected.invocation.upstream.trace.events == {"client_created": 1, "start": 2}
    assert alone.waits == [0.5] * 20
    sent = [*CREATED, *LOOK, PATCH, "start", PATCH, *["status"] * 21, "webhook", PATCH, "start", PATCH]
    assert alone.calls() == sent
    assert alone.settings()["wppStartedAt"] == (BEGIN + 10) * 1000


def test_a_lost_start_has_its_time_although_it_could_not_be_noted(alone: Alone) -> None:
    alone.instead(PATCH, None, *[answer(500)] * 6)  # the second one would note it with the release
    alone.instead("start", TIMED_OUT)
    alone.connect()
    assert alone.waits[-20:] == [0.5] * 20


def test_a_lost_start_that_had_its_effect_is_not_sent_again(alone: Alone) -> None:
    alone.instead("start", LOST_AFTERWARDS)
    assert alone.connect().state.state is State.QR_REQUIRED
    assert alone.session().starts == 1
    assert "wppClaim" not in alone.settings()


def test_a_refused_start_is_an_error_and_counts_as_not_sent(alone: Alone) -> None:
    alone.instead("start", answer(400))
    text = "UpstreamRefused: WPP Platform refused with status 400 (start)"
    assert alone.outcome(alone.connect) == text
    assert alone.calls() == [*CREATED, *LOOK, PATCH, "start", PATCH, GET]
    assert {"wppStartedAt", "wppClaim"}.isdisjoint(alone.settings())


def test_a_start_whose_token_is_refused_is_sent_again_under_a_claim_of_its_own(alone: Alone) -> None:
    alone.instead("start", answer(401, {"error": "Invalid token"}))
    assert alone.connect().state.state is State.STARTING
    assert alone.session().starts == 1
    sent = [*CREATED, *LOOK, PATCH, "start", "token", PATCH, *["status"] * 21, "webhook", PATCH, "start", PATCH]
    assert alone.calls() == sent


def test_whoever_lost_the_claim_does_not_send_the_start(alone: Alone) -> None:
    theirs = {"id": "theirs", "beat": 1, "doing": "start"}
    alone.takes("status", 5)
    alone.instead("status", lambda: alone.write(wppClaim=theirs))
    connected = alone.connect()
    assert connected.state.state is State.STARTING
    assert connected.invocation.upstream.trace.events == {"client_created": 1}
    assert alone.calls()[7:] == [PATCH, GET, PATCH, GET, PATCH]  # to confirm the claim, and to save the token
    assert alone.settings()["wppClaim"] == theirs


def test_a_state_that_cannot_be_read_gives_the_claim_back(alone: Alone) -> None:
    alone.instead("status", *[LOST] * 4)
    assert alone.outcome(alone.connect) == "UpstreamBroken: WPP Platform broke the connection (status)"
    assert "wppClaim" not in alone.settings()
    assert alone.session().starts == 0


def test_a_claim_that_cannot_be_confirmed_is_given_back_and_nothing_is_started(alone: Alone) -> None:
    alone.takes("status", 5)
    alone.instead(PATCH, None, *[answer(500)] * 6)
    assert alone.outcome(alone.connect).startswith("UpstreamBroken")
    assert "wppClaim" not in alone.settings()
    assert "start" not in alone.calls()


def test_a_claim_that_cannot_be_released_with_all_that_is_known_is_released_alone(alone: Alone) -> None:
    alone.instead(PATCH, None, *[answer(500)] * 6)
    assert alone.connect().state.state is State.STARTING
    assert {"wppClaim", "wppStartedAt"} & alone.settings().keys() == {"wppStartedAt"}


def test_the_webhook_of_a_new_client_has_three_seconds(alone: Alone) -> None:
    alone.connect()
    (webhook,) = [sent for sent in alone.sent if sent.call == "webhook"]
    assert (webhook.timeout, webhook.payload) == (3, {"url": "http://supabase/functions/v1/wpp-webhook"})
