"""How a number gets its client: what is sent, and what a failure leaves behind."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING
from unittest.mock import ANY

import pytest

from tests.support.alone import (
    BEGIN,
    FORBIDDEN,
    GET,
    LOST,
    LOST_AFTERWARDS,
    PATCH,
    POST,
    REFUSED_KEY,
    TIMED_OUT,
    UNKNOWN,
    Alone,
    answer,
)
from wpp.errors import CreationInProgress
from wpp.provisioning.creation import Creation
from wpp.provisioning.idempotency import KeyedRequest
from wpp.provisioning.number import Number, number_of, primary_number
from wpp.provisioning.record import Record

if TYPE_CHECKING:
    from tests.support.alone import Outcome
    from wpp.supabase.rows import Integration

THEIRS = {"wppClaim": {"id": "theirs", "beat": 1, "doing": "create"}}


def test_a_first_client_takes_four_requests(alone: Alone) -> None:
    with alone.logging():
        client = alone.obtain()
    assert client.claim
    inserted, _, _, saved = alone.sent
    assert inserted.payload == {
        "id": primary_number(alone.organization_id).row_id,
        "organization_id": alone.organization_id,
        "messenger_type": "whatsapp",
        "provider": "wpp",
        "name": "WhatsApp (WPP)",
        "is_active": False,
        "is_primary": True,
        "webhook_key": str(uuid.UUID(inserted.payload["webhook_key"])),
        "settings": {
            "wppClaim": {"id": client.claim.id, "beat": 0, "doing": "create", "expiresAt": (BEGIN + 37) * 1000},
            "wppIdempotencyKey": Record(client.row.id, "", {}).idempotency_key,
        },
    }
    settings = {
        "wppClaim": {"id": client.claim.id, "beat": 1, "doing": "start", "expiresAt": (BEGIN + 37) * 1000},
        "wppPaired": False,
        **alone.newest(),
        "wppApiKeyIssuedAt": BEGIN * 1000,
        "wppWebhookPending": True,
    }
    assert saved.payload == {"settings": settings, "is_active": True, "updated_at": "2027-01-15T08:00:00+00:00"}
    assert (client.row, client.may_connect, client.was_created) == (alone.stored(), True, True)
    assert [(sent.call, sent.timeout) for sent in alone.sent] == [(POST, 8), ("create", 15), ("token", 8), (PATCH, 8)]
    known = {"integration": client.row.id, "platform_id": alone.organization_id}
    session = client.platform.credentials.session
    assert alone.logged == [("INFO", "client created", alone.fields(**known, session=session))]


def test_the_platform_is_asked_under_the_key_and_the_id_of_the_row(alone: Alone) -> None:
    row = alone.insert(settings={"wppSubOrgId": "its own id", "wppIdempotencyKey": "its own key"})
    number = Number(alone.organization_id, "name", "its own id", known_row_id=row.id)
    Creation(alone.begin(), number).obtain(row)
    (create,) = [sent for sent in alone.sent if sent.call == "create"]
    assert create.payload == {"organizationId": "its own id"}
    assert create.headers["idempotency-key"] == "its own key"


def test_an_id_of_another_organization_is_not_asked_for(alone: Alone) -> None:
    """A product may let its users write rows: the platform would give them the other organization's client."""
    theirs = str(uuid.uuid4())
    for name in (theirs, theirs.upper(), f"{theirs}__wpp__01234567", f" {theirs}"):
        alone.supabase.execute("delete from messenger_integrations where organization_id = %s", alone.organization_id)
        row = alone.insert(settings={"wppSubOrgId": name})
        error = alone.outcome(lambda row=row: Creation(alone.begin(), number_of(row)).obtain(row))  # type: ignore[misc]
        assert error == (
            f"RowUnreadable: wppSubOrgId of row {row.id} in messenger_integrations names another organization: "
            "correct it or clear it"
        )
        assert "create" not in alone.calls()
        assert alone.settings()["wppSubOrgId"] == name
    own = alone.organization_id.upper()
    alone.write(wppSubOrgId=f"{own}__wpp__01234567")
    row = alone.stored()
    assert Creation(alone.begin(), number_of(row)).obtain(row).was_created


def test_the_client_of_another_number_is_not_taken(alone: Alone) -> None:
    """Foreign code has written the settings of a further number whole, and its platform gives an organization one client."""
    primary = alone.connected_before()
    settings = {"theirs": 1}
    further = alone.insert(settings=settings, is_primary=False)
    error = alone.outcome(lambda: alone.obtain(further, others=[further, primary]))
    assert error == f"UpstreamRefused: WPP Platform gave the client that row {primary.id} has already (create)"
    stored = alone.supabase.rows(alone.organization_id)
    (left,) = [row["settings"] for row in stored if row["id"] == further.id]
    assert set(left) == {"theirs", "wppClaim", "wppIdempotencyKey"}
    assert left["wppClaim"]["code"] == "platform_refused"


def test_two_rows_that_share_a_client_already_may_have_it_replaced(alone: Alone) -> None:
    primary = alone.connected_before()
    other = alone.insert(settings=primary.settings, is_primary=False)
    assert alone.obtain(primary, replacing=primary, others=[primary, other]).was_created


@pytest.mark.parametrize("overwritten", [{}, {"wppSubOrgId": None}, {"wppSubOrgId": ""}, {"wppSubOrgId": 5}, None])
def test_a_further_number_keeps_its_id_although_its_settings_are_overwritten(
    alone: Alone, overwritten: dict[str, object] | None
) -> None:
    """Before its client is created, or meanwhile."""
    number = Number(alone.organization_id, f"{alone.organization_id}\n1", "its own id", keyed_by="f" * 32)
    if overwritten is not None:
        alone.insert(id=number.row_id, settings={"theirs": 1, **overwritten}, is_primary=False)
        found = number.find([alone.stored()])
    else:
        alone.instead("create", lambda: alone.write(wppSubOrgId=None, wppKeyedBy=None))
        found = None
    Creation(alone.begin(), number).obtain(found)
    (create,) = [sent for sent in alone.sent if sent.call == "create"]
    assert create.payload == {"organizationId": "its own id"}
    assert alone.settings().items() >= number.first_settings.items()


def test_a_create_gets_no_more_time_than_is_left(alone: Alone) -> None:
    alone.obtain(seconds=8)
    assert [sent.timeout for sent in alone.sent if sent.call == "create"] == [7]


def test_a_creation_for_which_no_time_is_left_says_so(alone: Alone) -> None:
    alone.takes(POST, 27)
    assert alone.outcome(alone.obtain) == "DeadlinePassed: Time ran out while creating the client; try again"


@pytest.mark.parametrize("is_primary", [True, False])
def test_only_the_first_number_becomes_the_primary_one(alone: Alone, is_primary: bool) -> None:
    number = Number(alone.organization_id, f"{alone.organization_id}\n1", None if is_primary else "its own id")
    Creation(alone.begin(), number).obtain(None)
    assert alone.row()["is_primary"] is is_primary


def test_a_request_with_a_key_is_noted_with_the_credentials(alone: Alone) -> None:
    alone.obtain(keyed=KeyedRequest("fingerprint", "plain"))
    noted = {"fingerprint": {"options": "plain", "at": BEGIN * 1000}}
    assert alone.sent[-1].payload["settings"]["wppRequests"] == noted


# The row


def test_an_insert_whose_response_is_lost_is_looked_for_and_repeated(alone: Alone) -> None:
    alone.instead(POST, TIMED_OUT, LOST)
    assert alone.obtain().was_created
    assert alone.waits == [0.2, 0.4]
    assert alone.calls() == [POST, GET, POST, GET, POST, "create", "token", PATCH]


def test_an_insert_that_was_carried_out_although_its_response_was_lost_is_gone_on_with(alone: Alone) -> None:
    alone.instead(POST, LOST_AFTERWARDS)
    assert alone.obtain().was_created
    # The claim counts as confirmed long ago, so it is confirmed before the platform is asked.
    assert alone.calls() == [POST, GET, PATCH, "create", "token", PATCH]


def test_an_insert_that_nobody_could_look_for_leaves_no_claim_behind(alone: Alone) -> None:
    alone.instead(POST, LOST_AFTERWARDS)
    alone.instead(GET, *[LOST] * 4)
    assert alone.outcome(alone.obtain).startswith("UpstreamBroken")
    assert "wppClaim" not in alone.settings()


def test_an_insert_is_tried_four_times(alone: Alone) -> None:
    alone.instead(POST, *[TIMED_OUT] * 5)
    assert alone.outcome(alone.obtain) == f"UpstreamTimeout: Supabase did not answer in time ({POST})"
    assert alone.waits == [0.2, 0.4, 0.8]
    assert alone.calls() == [POST, GET, POST, GET, POST, GET, POST, GET]  # the last one to release the claim


def test_a_row_of_another_provider_stays_the_primary_one(alone: Alone) -> None:
    alone.instead(POST, FORBIDDEN)
    alone.obtain()
    assert [sent.payload["is_primary"] for sent in alone.sent if sent.call == POST] == [True, False]
    assert alone.calls() == [POST, GET, POST, "create", "token", PATCH]


def test_a_row_that_no_index_allows_is_an_error_that_names_the_index(alone: Alone) -> None:
    alone.instead(POST, FORBIDDEN, FORBIDDEN)
    text = (
        "RowForbidden: The unique constraint one_active_number of messenger_integrations does not allow another number"
    )
    assert alone.outcome(alone.obtain) == text
    assert alone.calls() == [POST, GET, POST, GET, GET]


@pytest.mark.parametrize("is_forbidden", [False, True])
def test_a_row_that_somebody_inserted_a_moment_before_is_theirs(alone: Alone, is_forbidden: bool) -> None:
    row_id = primary_number(alone.organization_id).row_id
    if is_forbidden:  # by another index than the primary key's
        alone.insert(settings=THEIRS, id=row_id)
        alone.instead(POST, FORBIDDEN)
    else:
        organization_id = alone.organization_id
        alone.instead(
            POST, lambda: alone.supabase.insert_row(organization_id=organization_id, settings=THEIRS, id=row_id)
        )
    with pytest.raises(CreationInProgress):
        alone.obtain(seconds=1)
    assert alone.calls()[:3] == [POST, GET, GET]


def test_a_row_that_is_there_and_not_shown_is_a_mistake_in_the_configuration(alone: Alone) -> None:
    alone.instead(POST, answer(201, []))
    row_id = primary_number(alone.organization_id).row_id
    assert alone.outcome(alone.obtain) == (
        f"NotConfigured: Supabase has row {row_id} of messenger_integrations and does not show it to our key: "
        "check row-level security, its provider and its messenger_type"
    )


def test_a_row_that_was_moved_to_another_organization_is_named(alone: Alone) -> None:
    row_id = primary_number(alone.organization_id).row_id
    another = str(uuid.uuid4())
    alone.supabase.add_user(f"{another}@example.com", organization_id=another)
    alone.supabase.insert_row(organization_id=another, id=row_id)
    assert alone.outcome(alone.obtain) == (
        f"NotConfigured: Row {row_id} of messenger_integrations was moved to another organization, and its former one needs "
        "that id: move it back, or give it another id"
    )


def test_a_row_that_was_deleted_stays_deleted_where_nothing_may_be_inserted(alone: Alone) -> None:
    assert alone.outcome(lambda: alone.obtain(may_insert=False)).startswith("NumberNotFound")
    assert alone.calls() == []


# The platform


def test_a_create_is_tried_four_times_under_the_same_key(alone: Alone) -> None:
    alone.instead("create", TIMED_OUT, LOST, answer(503), TIMED_OUT)
    assert alone.outcome(alone.obtain) == "UpstreamTimeout: WPP Platform did not answer in time (create)"
    assert alone.waits == [0.2, 0.4, 0.8]
    keys = [sent.headers["idempotency-key"] for sent in alone.sent if sent.call == "create"]
    assert keys == [alone.settings()["wppIdempotencyKey"]] * 4
    assert alone.settings() == {"wppIdempotencyKey": keys[0]}
    assert alone.calls() == [POST, *["create"] * 4, GET, PATCH]


def test_a_refusal_stays_in_the_row_for_those_who_waited(alone: Alone) -> None:
    alone.instead("create", answer(400))
    assert alone.outcome(alone.obtain) == "UpstreamRefused: WPP Platform refused with status 400 (create)"
    claim_id = alone.sent[0].payload["settings"]["wppClaim"]["id"]
    problem = "WPP Platform refused with status 400 (create)"
    assert alone.settings()["wppClaim"] == {"failed": claim_id, "code": "platform_refused", "problem": problem}


def test_a_new_key_may_be_refused_for_ten_seconds(alone: Alone) -> None:
    alone.instead("token", *[REFUSED_KEY] * 7)
    assert alone.obtain().was_created
    assert alone.waits == [0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0]


def test_a_new_key_that_is_refused_for_longer_is_kept_for_the_next_call(alone: Alone) -> None:
    alone.instead("token", *[REFUSED_KEY] * 9)
    assert alone.outcome(alone.obtain).startswith("KeyRefused")
    assert sum(alone.waits) == 11
    assert alone.settings() == {
        **alone.newest(),
        "wppPaired": False,
        "wppApiKeyIssuedAt": (BEGIN + 11) * 1000,
        "wppWebhookPending": True,
        "wppClaim": {"failed": ANY, "code": "platform_refused", "problem": ANY},
    }


def test_credentials_that_cannot_be_saved_are_saved_with_the_release(alone: Alone) -> None:
    alone.instead(PATCH, *[answer(503)] * 6)
    assert alone.outcome(alone.obtain).startswith("UpstreamBroken")
    assert alone.settings() == {
        **alone.newest(),
        "wppPaired": False,
        "wppApiKeyIssuedAt": (BEGIN + round(sum(alone.waits), 3)) * 1000,
        "wppWebhookPending": True,
    }


def test_a_row_that_an_index_does_not_allow_to_be_active_keeps_its_client(alone: Alone) -> None:
    alone.instead(PATCH, FORBIDDEN)
    assert alone.outcome(alone.obtain).startswith("RowForbidden")
    assert not alone.row()["is_active"]
    assert alone.settings().items() >= alone.newest().items()
    assert "wppClaim" not in alone.settings()


# Credentials that are replaced


@pytest.fixture
def used(alone: Alone) -> Integration:
    return alone.connected_before()


def test_unwanted_credentials_are_replaced_once_their_session_was_stopped(alone: Alone, used: Integration) -> None:
    alone.platform.settings.one_client_per_organization = False
    client = alone.obtain(used, replacing=used, stop_first=True)
    assert [(sent.call, sent.timeout) for sent in alone.sent] == [
        (PATCH, 8), ("stop", 5), ("status", 3), ("create", 15), ("token", 8), (PATCH, 8),
    ]  # fmt: skip
    assert alone.sent[0].payload["settings"]["wppClaim"]["doing"] == "recreate"
    before = {"wppApiKey": used.settings["wppApiKey"], "wppAccountNumber": used.settings["wppAccountNumber"]}
    assert alone.settings().items() >= alone.newest().items()
    assert alone.newest() != before
    assert client.was_created


def test_a_session_is_stopped_only_by_whoever_holds_the_claim(alone: Alone, used: Integration) -> None:
    alone.takes(PATCH, 5)
    alone.obtain(used, replacing=used, stop_first=True)
    assert alone.calls()[:5] == [PATCH, PATCH, "stop", "status", PATCH]


@pytest.mark.parametrize("word", ["connected", "pairing"])
def test_a_stop_is_given_the_time_to_show(alone: Alone, used: Integration, word: str) -> None:
    """The platform may give the same session again, which would be answered as connected."""
    still = answer(200, {"status": word})
    alone.instead("status", still, still, answer(200, {"status": "offline"}))
    alone.obtain(used, replacing=used, stop_first=True)
    assert alone.calls()[:5] == [PATCH, "stop", "status", "status", "status"]
    assert alone.waits == [0.5, 0.5]


def test_a_stop_that_does_not_show_is_not_waited_for_forever(alone: Alone, used: Integration) -> None:
    alone.instead("status", *[answer(200, {"status": "connected"})] * 9)
    assert alone.obtain(used, replacing=used, stop_first=True).was_created
    assert alone.waits == [0.5] * 6


@pytest.mark.parametrize("outcome", [UNKNOWN, TIMED_OUT, answer(400)])
def test_a_stop_may_be_seen_by_nothing_else(alone: Alone, used: Integration, outcome: Outcome) -> None:
    alone.instead("status", *[outcome] * 4)
    assert alone.obtain(used, replacing=used, stop_first=True).was_created


def test_a_session_that_cannot_be_stopped_is_replaced_all_the_same(alone: Alone, used: Integration) -> None:
    alone.instead("stop", answer(400))
    invocation = alone.begin()
    number = primary_number(alone.organization_id)
    assert Creation(invocation, number, replacing=used, stop_first=True).obtain(used).was_created
    warning = "the previous session could not be stopped: WPP Platform refused with status 400 (stop)"
    assert invocation.warnings == [warning]


def test_without_credentials_there_is_nothing_to_stop(alone: Alone) -> None:
    row = alone.insert(settings={"theirs": 1})
    assert alone.obtain(row, replacing=row, stop_first=True).was_created
    assert "stop" not in alone.calls()


def test_credentials_that_somebody_else_replaced_meanwhile_are_used(alone: Alone, used: Integration) -> None:
    alone.write(wppApiKeyIssuedAt=1)
    client = alone.obtain(alone.stored(), replacing=used, stop_first=True)
    assert not client.was_created
    assert alone.calls() == []
