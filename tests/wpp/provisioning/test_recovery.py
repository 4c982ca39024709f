"""A key that the platform does not take and a session that it does not know: asked for again once, and not before it is sure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.alone import BEGIN, GET, LOOK, LOST, PATCH, REFUSED_KEY, UNKNOWN, Alone, answer
from wpp.errors import SessionLost
from wpp.platform.state import State
from wpp.provisioning.client import stored_client
from wpp.provisioning.idempotency import KeyedRequest
from wpp.provisioning.number import number_of, primary_number
from wpp.provisioning.recovery import running_session

if TYPE_CHECKING:
    from wpp.supabase.rows import Integration

GONE = "SessionGone: WPP Platform does not know the session (status)"
REFUSED = "KeyRefused: WPP Platform refuses the organization's API key (token)"
NO_TIME = "DeadlinePassed: Time ran out while making sure of what the platform said about the number; try again"


def forget_token(alone: Alone) -> Integration:
    """The row without a token, in a process that does not remember it."""
    alone.runtime.memory.clear()
    alone.write(wppJwtToken=None, wppJwtExpiresAt=None)
    return alone.stored()


def disconnect(alone: Alone) -> None:
    """As somebody else does it."""
    alone.supabase.execute("update messenger_integrations set is_active = false where id = %s", alone.row()["id"])
    alone.write(wppDisconnected=True)


# A session that is not known


def test_a_session_that_is_unknown_once_is_only_looked_at_again(alone: Alone, row: Integration) -> None:
    alone.instead("status", UNKNOWN)
    connected = alone.connect(row)
    assert connected.state.state is State.QR_REQUIRED
    assert alone.waits == [5]
    # The token is a new one, and saved beside the second look.
    assert alone.calls() == [*LOOK, "token", PATCH, *LOOK, PATCH]
    assert "client_created" not in connected.invocation.upstream.trace.events


def test_a_number_that_somebody_disconnects_meanwhile_is_not_connected_again(alone: Alone, row: Integration) -> None:
    disconnect(alone)
    alone.instead("status", UNKNOWN)
    alone.instead("token", lambda: disconnect(alone))
    alone.connect(alone.stored())
    assert (alone.row()["is_active"], alone.settings()["wppDisconnected"]) == (False, True)


def test_a_number_that_somebody_disconnects_before_the_second_look_is_not_asked_for(
    alone: Alone, row: Integration
) -> None:
    disconnect(alone)
    alone.platform.lose(alone.session().name)
    alone.instead("token", lambda: disconnect(alone))
    assert alone.outcome(lambda: alone.connect(alone.stored())) == GONE
    assert "create" not in alone.calls()
    assert (alone.row()["is_active"], alone.settings()["wppDisconnected"]) == (False, True)


def test_a_session_that_is_unknown_twice_is_asked_for_again(alone: Alone, row: Integration) -> None:
    alone.platform.lose(alone.session().name)
    with alone.logging():
        connected = alone.connect(row)
    assert connected.state.state is State.QR_REQUIRED
    assert alone.settings()["wppApiKeyIssuedAt"] == (BEGIN + 125) * 1000
    assert alone.calls() == [*LOOK, "token", PATCH, *LOOK, GET, PATCH, "create", PATCH, "webhook", *LOOK, PATCH]
    fields = {**alone.fields(), "organization": None, "integration": row.id}
    assert alone.logged[0] == (
        "WARNING",
        "asking the platform for the client again",
        {**fields, "problem": "does not know the session"},
    )


def test_a_session_that_does_not_come_back_is_lost_for_a_minute(alone: Alone, row: Integration) -> None:
    alone.instead("status", *[UNKNOWN] * 3)
    with pytest.raises(SessionLost) as caught:
        alone.connect(row)
    assert caught.value.retry_after == 60
    assert alone.settings()["wppLost"] == {"at": (BEGIN + 125) * 1000, "times": 1}
    assert "wppClaim" not in alone.settings()


@pytest.mark.parametrize(("times", "pause"), [(1, 120), (2, 240), (5, 1920), (6, 3600), (30, 3600)])
def test_a_session_that_is_lost_again_is_lost_for_twice_as_long(
    alone: Alone, row: Integration, times: int, pause: int
) -> None:
    alone.write(wppLost={"at": (BEGIN - 5000) * 1000, "times": times})
    alone.instead("status", *[UNKNOWN] * 3)
    with pytest.raises(SessionLost) as caught:
        alone.connect(alone.stored())
    assert caught.value.retry_after == pause
    assert alone.settings()["wppLost"] == {"at": (BEGIN + 125) * 1000, "times": times + 1}


@pytest.mark.parametrize(("ago", "left"), [(0, 60), (1, 59), (59.5, 0.5)])
def test_a_lost_session_is_not_asked_for_within_its_pause(
    alone: Alone, row: Integration, ago: float, left: float
) -> None:
    alone.write(wppLost={"at": (BEGIN + 120 - ago) * 1000, "times": 1})
    alone.instead("status", UNKNOWN)
    with pytest.raises(SessionLost) as caught:
        alone.connect(alone.stored())
    assert caught.value.retry_after == pytest.approx(left)
    assert alone.calls() == LOOK


@pytest.mark.parametrize("ago", [60, 61, -10])
def test_a_lost_session_is_asked_for_after_its_pause_and_if_another_clock_is_ahead(
    alone: Alone, row: Integration, ago: float
) -> None:
    alone.write(wppLost={"at": (BEGIN + 120 - ago) * 1000, "times": 1})
    alone.platform.lose(alone.session().name)
    assert alone.connect(alone.stored()).state.state is State.QR_REQUIRED
    assert "create" in alone.calls()
    assert "wppLost" not in alone.settings()  # it is back


def test_a_session_that_somebody_else_asks_for_in_vain_meanwhile_is_lost(alone: Alone, row: Integration) -> None:
    lost = {"at": (BEGIN + 124) * 1000, "times": 1}
    alone.instead("status", UNKNOWN, lambda: alone.write(wppLost=lost), UNKNOWN)
    alone.platform.lose(alone.session().name)
    with pytest.raises(SessionLost) as caught:
        alone.connect(row)
    assert caught.value.retry_after == 59
    assert "create" not in alone.calls()


def test_a_loss_that_somebody_else_notes_meanwhile_is_noted_once(alone: Alone, row: Integration) -> None:
    lost = {"at": (BEGIN + 124) * 1000, "times": 1}
    alone.instead("status", UNKNOWN, UNKNOWN, lambda: alone.write(wppLost=lost))
    alone.platform.lose(alone.session().name)
    alone.instead("create", answer(200, {"apiKey": row.settings["wppApiKey"], "session": alone.session().name}))
    assert alone.outcome(lambda: alone.connect(row)).startswith("SessionLost")
    assert alone.settings()["wppLost"] == lost


def test_a_loss_that_cannot_be_noted_is_one_all_the_same(alone: Alone, row: Integration) -> None:
    alone.instead("status", *[UNKNOWN] * 3)
    alone.instead(PATCH, None, None, None, *[answer(500)] * 12)
    assert alone.outcome(lambda: alone.connect(row)).startswith("SessionLost")


def test_a_new_client_that_is_given_instead_is_started(alone: Alone, row: Integration) -> None:
    """Some gateways know a session only once it was started."""
    alone.platform.settings.one_client_per_organization = False
    alone.platform.settings.create_starts = False
    alone.instead("status", UNKNOWN, UNKNOWN, UNKNOWN)
    connected = alone.connect(row)
    assert connected.state.state is State.STARTING
    assert alone.settings().items() >= alone.newest().items()
    assert connected.session.credentials.session == alone.newest()["wppAccountNumber"]


@pytest.mark.parametrize(("seconds", "is_looked_at_again"), [(6, True), (5, False), (4, False)])
def test_there_has_to_be_time_for_a_second_look(
    alone: Alone, row: Integration, seconds: float, is_looked_at_again: bool
) -> None:
    whole = seconds / 7 * 8  # an eighth is kept for the end
    alone.instead("status", UNKNOWN)
    if is_looked_at_again:
        alone.connect(row, whole)
    else:
        assert alone.outcome(lambda: alone.connect(row, whole)) == NO_TIME
        assert alone.waits == []


def test_a_number_that_was_disconnected_meanwhile_is_not_asked_for(alone: Alone, row: Integration) -> None:
    alone.platform.lose(alone.session().name)
    alone.instead("status", UNKNOWN, lambda: alone.write(wppDisconnected=True))
    assert alone.outcome(lambda: alone.connect(row)) == GONE
    assert "create" not in alone.calls()


def test_a_number_that_was_disconnected_while_this_call_waited_is_not_asked_for(alone: Alone, row: Integration) -> None:
    alone.platform.lose(alone.session().name)
    alone.write(wppDisconnected=True)
    invocation = alone.begin()
    client = stored_client(invocation, alone.stored())._replace(may_connect=False)
    number = primary_number(alone.organization_id)
    assert alone.outcome(lambda: running_session(invocation, number, client)) == GONE
    assert "create" not in alone.calls()


def test_a_session_of_a_new_client_that_its_start_does_not_find_is_lost(alone: Alone) -> None:
    alone.platform.settings.create_starts = False
    alone.instead("start", UNKNOWN)
    with pytest.raises(SessionLost) as caught:
        alone.connect()
    assert caught.value.retry_after == 60
    assert alone.waits == []
    assert alone.settings()["wppLost"] == {"at": BEGIN * 1000, "times": 1}


def test_a_session_whose_row_is_deleted_meanwhile_gets_a_new_one(alone: Alone, row: Integration) -> None:
    alone.platform.lose(alone.session().name)
    statement = "delete from messenger_integrations where id = %s"
    alone.instead("status", UNKNOWN, lambda: alone.supabase.execute(statement, row.id))
    assert alone.connect(row).state.state is State.QR_REQUIRED
    assert alone.row()["id"] == row.id


def test_a_request_with_a_key_is_noted_with_the_credentials_that_replace_others(alone: Alone, row: Integration) -> None:
    alone.platform.lose(alone.session().name)
    alone.instead(PATCH, *[LOST] * 12)  # where it would have been noted before
    alone.connect(row, keyed=KeyedRequest("fingerprint", "plain"))
    (saved,) = [sent for sent in alone.sent if sent.call == PATCH and "is_active" in sent.payload]
    assert list(saved.payload["settings"]["wppRequests"]) == ["fingerprint"]


# A key that is refused


def test_a_key_that_is_refused_once_is_tried_again(alone: Alone, row: Integration) -> None:
    alone.instead("token", REFUSED_KEY)
    connected = alone.connect(forget_token(alone))
    assert connected.state.state is State.QR_REQUIRED
    assert alone.waits == [2]
    assert alone.calls() == ["token", "token", PATCH, *LOOK, PATCH]


def test_a_key_is_not_replaced_by_that_of_another_number(alone: Alone, row: Integration) -> None:
    """Foreign code has written the settings of a further number without its id."""
    settings = {"wppApiKey": "key_0123456789", "wppAccountNumber": "client_2"}
    further = alone.insert(settings=settings, is_primary=False)
    alone.instead("token", REFUSED_KEY, REFUSED_KEY)
    invocation = alone.begin()
    client = stored_client(invocation, further)
    error = alone.outcome(lambda: running_session(invocation, number_of(further), client))
    assert error == f"UpstreamRefused: WPP Platform gave the client that row {row.id} has already (create)"


def test_a_key_that_is_refused_twice_is_replaced(alone: Alone, row: Integration) -> None:
    alone.instead("token", REFUSED_KEY, REFUSED_KEY)
    with alone.logging():
        connected = alone.connect(forget_token(alone))
    assert connected.state.state is State.QR_REQUIRED
    assert alone.calls() == ["token", "token", GET, PATCH, "create", "token", PATCH, "webhook", *LOOK, PATCH]
    assert alone.logged[0][2]["problem"] == "refuses the organization's API key"


def test_a_refused_key_is_replaced_also_within_the_pause_of_a_lost_session(alone: Alone, row: Integration) -> None:
    alone.write(wppLost={"at": (BEGIN + 120) * 1000, "times": 1})
    alone.instead("token", REFUSED_KEY, REFUSED_KEY)
    alone.connect(forget_token(alone))
    assert "create" in alone.calls()


@pytest.mark.parametrize(("seconds", "is_tried_again"), [(3, True), (2, False), (1.5, False)])
def test_there_has_to_be_time_to_try_a_key_again(
    alone: Alone, row: Integration, seconds: float, is_tried_again: bool
) -> None:
    alone.instead("token", REFUSED_KEY)
    found = forget_token(alone)
    whole = seconds / 7 * 8  # an eighth is kept for the end
    if is_tried_again:
        alone.connect(found, whole)
    else:
        assert alone.outcome(lambda: alone.connect(found, whole)) == NO_TIME


def test_a_key_that_is_refused_and_then_a_session_that_is_not_known_are_not_the_same(
    alone: Alone, row: Integration
) -> None:
    alone.instead("token", REFUSED_KEY)
    alone.instead("status", UNKNOWN)
    found = forget_token(alone)
    assert alone.outcome(lambda: alone.connect(found)) == GONE
    assert "create" not in alone.calls()


def test_a_new_key_that_is_refused_is_not_replaced(alone: Alone) -> None:
    alone.instead("token", None, *[REFUSED_KEY] * 2)
    alone.instead("status", answer(401, {"error": "Invalid token"}))
    assert alone.outcome(alone.connect) == REFUSED
    assert alone.calls().count("create") == 1
