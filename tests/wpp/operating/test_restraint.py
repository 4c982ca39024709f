"""What the reconciler leaves as it is: what only a person can mend, and what is none of its business."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import pytest

from emulator.faults import Fault
from tests.support.fleet import DEAD_CLAIM, Fleet, kinds, left
from wpp.errors import NumberNotFound
from wpp.operating.examination import Examination
from wpp.operating.mending import mend
from wpp.provisioning.liveness import DEAD_AFTER

if TYPE_CHECKING:
    from collections.abc import Callable

CREDENTIALS = {"wppApiKey": "key_of-some-other-number", "wppAccountNumber": "client_other"}
MANY = "x" * 1_100_000  # more than is read of one response


def settings_of_another_kind(fleet: Fleet) -> str:
    return fleet.insert(settings=["theirs"])


def settings_too_large(fleet: Fleet) -> str:
    return fleet.insert(settings={**CREDENTIALS, "theirs": MANY}, is_active=True)


def second_primary(fleet: Fleet) -> str:
    first = fleet.connect()
    return fleet.insert(fleet.row(first)["organization_id"], settings=CREDENTIALS, is_active=True)


def second_primary_without_a_client(fleet: Fleet) -> str:
    """Its creation would give the organization a second client."""
    first = fleet.connect()
    fleet.stack.platform.settings.one_client_per_organization = False
    return fleet.insert(fleet.row(first)["organization_id"], settings={"wppIdempotencyKey": "of-older-code"})


def phone_unlinked(fleet: Fleet) -> str:
    row_id = fleet.connect()
    fleet.change(row_id, wppPaired=True)
    return row_id


def session_blocked(fleet: Fleet) -> str:
    row_id = fleet.connect()
    fleet.stack.platform.settings.status_override = "TOS_BLOCK"
    return row_id


def session_lost_for_good(fleet: Fleet) -> str:
    row_id = fleet.connect()
    unknown = b'{"error": "Session not found"}'
    fleet.stack.platform_server.inject(Fault("status", status=404, body=unknown, times=None))
    return row_id


def secret_refused(fleet: Fleet) -> str:
    fleet.stack.platform_server.inject(Fault("create", status=401, body=b'{"error": "Invalid token"}', times=None))
    return fleet.begin(wppClaim=None)


def further_number_given_the_client_of_the_primary_one(fleet: Fleet) -> str:
    row_id = fleet.connect()
    keys, organization_id = fleet.settings(row_id), fleet.row(row_id)["organization_id"]
    given = json.dumps({"apiKey": keys["wppApiKey"], "session": keys["wppAccountNumber"]}).encode()
    fleet.stack.platform_server.inject(Fault("create", status=201, body=given, times=None))
    further = {"wppSubOrgId": f"{organization_id}__wpp__01234567"}
    return fleet.insert(organization_id, is_primary=False, settings=further)


def platform_down(fleet: Fleet) -> str:
    row_id = fleet.connect()
    fleet.stack.platform_server.inject(Fault("*", status=503, times=None))
    return row_id


class Left(NamedTuple):
    set_up: Callable[[Fleet], str]
    kind: str
    says: str


LEFT = {
    "settings that are no object": Left(settings_of_another_kind, "row_unreadable", "is not a JSON object"),
    "settings that are too large": Left(settings_too_large, "row_unreadable", "too large or too deep"),
    "a second primary number": Left(second_primary, "two_primaries", "stands for the organization's primary number"),
    "a second one without a client": Left(second_primary_without_a_client, "two_primaries", "stands for"),
    "a phone that was unlinked": Left(phone_unlinked, "phone_unlinked", "linked again with a phone"),
    "a number that WhatsApp blocked": Left(session_blocked, "session_blocked", "'TOS_BLOCK'"),
    "a session that does not come back": Left(session_lost_for_good, "session_lost", "does not know the session"),
    "a creation that is refused": Left(secret_refused, "unfinished", "WPP_SECRET"),
    "a client that another number has": Left(
        further_number_given_the_client_of_the_primary_one, "unfinished", "has already"
    ),
    "a platform that is down": Left(platform_down, "not_examined", "status 503"),
}


@pytest.mark.parametrize("name", LEFT)
def test_what_cannot_be_mended_is_left_and_says_why(fleet: Fleet, name: str) -> None:
    case = LEFT[name]
    row_id = case.set_up(fleet)
    before, clients = fleet.row(row_id), len(fleet.stack.platform.clients)
    assert kinds(fleet.reconcile()[row_id]) == {case.kind}
    mended = fleet.reconcile(fix=True)[row_id]
    assert left(mended) == {case.kind}
    assert case.says in " ".join([*(finding.text for finding in mended.left), *mended.problems])
    assert len(fleet.stack.platform.clients) == clients
    credentials = [
        row["settings"]["wppApiKey"] for row in (before, fleet.row(row_id)) if "wppApiKey" in row["settings"]
    ]
    assert len(set(credentials)) <= 1
    assert [session.stops for session in fleet.stack.platform.sessions.values()] == [0] * clients


def test_a_phone_that_was_unlinked_while_the_session_was_down_shows_once_it_runs(fleet: Fleet) -> None:
    row_id = fleet.connect()
    fleet.change(row_id, wppPaired=True, wppStartedAt=None)
    fleet.stack.platform.disconnect(fleet.session(row_id).name)
    mended = fleet.reconcile(fix=True)[row_id]
    assert (kinds(mended), left(mended)) == ({"session_ended"}, {"phone_unlinked"})


def disconnected(fleet: Fleet) -> str:
    row_id = fleet.connect()
    fleet.pair(row_id)
    fleet.stack.platform.disconnect(fleet.session(row_id).name)
    fleet.change(row_id, active=False, wppDisconnected=True, wppStartedAt=None, wppWebhookPending=True)
    return row_id


def disconnected_by_others(fleet: Fleet) -> str:
    """By removing its credentials."""
    row_id = fleet.connect()
    fleet.change(row_id, active=False, wppApiKey=None, wppAccountNumber=None)
    return row_id


def disconnected_and_switched_on_by_others(fleet: Fleet) -> str:
    row_id = disconnected(fleet)
    fleet.change(row_id, active=True)
    return row_id


def deactivated_by_others(fleet: Fleet) -> str:
    row_id = disconnected(fleet)
    fleet.change(row_id, wppDisconnected=None)
    return row_id


def inserted_by_others(fleet: Fleet) -> str:
    return fleet.insert(settings={"theirs": 1})


def second_primary_that_was_deactivated(fleet: Fleet) -> str:
    first = fleet.connect()
    return fleet.insert(fleet.row(first)["organization_id"], settings=CREDENTIALS)


def never_scanned_and_ended(fleet: Fleet) -> str:
    """Nobody waits for it: the next click starts it."""
    row_id = fleet.connect()
    fleet.stack.platform.disconnect(fleet.session(row_id).name)
    fleet.change(row_id, wppStartedAt=None)
    return row_id


def linked_and_starting_for_long(fleet: Fleet) -> str:
    """As during a long history sync: a restart would log the phone out."""
    row_id = fleet.connect()
    fleet.change(row_id, wppPaired=True, wppStartedAt=1)
    fleet.stack.platform.settings.stuck_starting = True
    return row_id


def started_a_moment_ago(fleet: Fleet) -> str:
    """The start does not show yet."""
    row_id = fleet.connect()
    fleet.change(row_id, wppPaired=True, wppStartedAt=int(fleet.stack.clock.now() * 1000))
    fleet.stack.platform.disconnect(fleet.session(row_id).name)
    return row_id


IN_ORDER = [
    *(
        disconnected,
        disconnected_by_others,
        disconnected_and_switched_on_by_others,
        deactivated_by_others,
        inserted_by_others,
    ),
    *(second_primary_that_was_deactivated, never_scanned_and_ended, linked_and_starting_for_long, started_a_moment_ago),
]


@pytest.mark.parametrize("set_up", IN_ORDER)
def test_what_is_in_order_or_left_alone_on_purpose_stays_as_it_is(fleet: Fleet, set_up: Callable[[Fleet], str]) -> None:
    row_id = set_up(fleet)
    before = fleet.stack.supabase.rows()
    fleet.stack.platform_server.clear()
    assert fleet.reconcile(fix=True)[row_id].found == ()
    assert fleet.stack.supabase.rows() == before
    assert {request.call for request in fleet.stack.platform_server.received} <= {"token", "status"}


def test_rows_of_other_providers_are_not_looked_at(fleet: Fleet) -> None:
    fleet.insert(provider="other", is_active=True, settings=CREDENTIALS)
    fleet.insert(messenger_type="telegram", is_active=True, settings=CREDENTIALS)
    assert fleet.reconcile(fix=True) == {}


def test_a_dead_claim_is_released_from_a_second_primary_whose_client_is_not_created(fleet: Fleet) -> None:
    row_id = second_primary_without_a_client(fleet)
    fleet.change(row_id, wppClaim=DEAD_CLAIM)
    mended = fleet.reconcile(fix=True)[row_id]
    assert (kinds(mended), left(mended)) == ({"claim_dead", "two_primaries"}, {"two_primaries"})
    assert len(fleet.stack.platform.clients) == 1


def test_a_refusal_that_passes_is_not_believed(fleet: Fleet) -> None:
    row_id = fleet.connect()
    key = fleet.settings(row_id)["wppApiKey"]
    fleet.change(row_id, wppJwtToken=None)
    fleet.stack.platform_server.inject(Fault("token", status=403, body=b'{"error": "Invalid API key"}'))
    assert fleet.reconcile()[row_id].found == ()
    assert sum(fleet.sleeps) >= DEAD_AFTER
    assert fleet.settings(row_id)["wppApiKey"] == key


def test_of_what_changed_since_it_was_looked_at_nothing_is_undone(fleet: Fleet) -> None:
    """Somebody else takes the dead claim over; another row comes to stand for the primary number."""
    claimed, second = disconnected(fleet), second_primary_without_a_client(fleet)
    fleet.change(claimed, wppClaim=DEAD_CLAIM)
    clients = len(fleet.stack.platform.clients)
    with fleet.process() as process:
        for row_id, is_in_use in ((claimed, False), (second, True)):
            invocation = process.begin("reconcile", "request")
            row = invocation.rows.by_id(row_id)
            assert row
            if row_id == claimed:
                fleet.change(claimed, wppClaim={**DEAD_CLAIM, "id": "of-somebody-else"})
            mend(invocation, Examination(row, is_in_use=is_in_use))
    assert fleet.settings(claimed)["wppClaim"]["id"] == "of-somebody-else"
    assert len(fleet.stack.platform.clients) == clients


def test_a_row_that_is_deleted_meanwhile_stays_deleted(fleet: Fleet) -> None:
    row_id = fleet.begin()
    other = fleet.begin()

    def delete_between_the_looks() -> bool:
        if fleet.sleeps:
            fleet.stack.supabase.execute("delete from messenger_integrations where id = %s", row_id)
        return False

    outcomes = fleet.reconcile(fix=True, is_over=delete_between_the_looks)
    assert outcomes[row_id].found == ()
    assert [row["id"] for row in fleet.stack.supabase.rows()] == [other]
    assert len(fleet.stack.platform.clients) == 1


def test_a_row_that_is_deleted_while_it_is_mended_stays_deleted(fleet: Fleet) -> None:
    row_id = fleet.insert(settings={"wppSubOrgId": "one__wpp__01234567"}, is_primary=False)
    with fleet.process() as process:
        invocation = process.begin("reconcile", "request")
        row = invocation.rows.by_id(row_id)
        assert row
        fleet.stack.supabase.execute("delete from messenger_integrations")
        with pytest.raises(NumberNotFound):
            mend(invocation, Examination(row, is_in_use=True))
    assert (fleet.stack.supabase.rows(), fleet.stack.platform.clients) == ([], [])
