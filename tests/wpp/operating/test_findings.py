"""Each thing that can be wrong with a number: it is found without a change, and mended as far as that is ours to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from emulator.faults import Fault
from tests.support.fleet import DEAD_CLAIM, Fleet, kinds, left
from wpp.provisioning.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable

GONE = Fault("status", status=404, body=b'{"error": "Session not found"}')
UNKNOWN_FOUR_TIMES = 4  # looks: two of the reconciler, two of the functions' own


def claimed(doing: str) -> dict[str, object]:
    return {**DEAD_CLAIM, "doing": doing}


def unfinished_with_a_client(fleet: Fleet) -> str:
    """The platform has created the client, and the process was killed before its key was saved."""
    fleet.stack.platform.settings.one_client_per_organization = False
    row_id = fleet.begin()
    organization_id = fleet.row(row_id)["organization_id"]
    record = Record(row_id, organization_id, fleet.settings(row_id), True)
    fleet.stack.platform.create(organization_id, record.idempotency_key)
    return row_id


def unfinished_after_a_refusal(fleet: Fleet) -> str:
    return fleet.begin(wppClaim={"failed": "someone", "code": "platform_refused", "problem": "refused"})


def unfinished_and_overwritten(fleet: Fleet) -> str:
    return fleet.begin(wppClaim=None, theirs="kept")


def unfinished_further(fleet: Fleet) -> str:
    row_id = fleet.connect()
    organization_id = fleet.row(row_id)["organization_id"]
    settings = {"wppSubOrgId": f"{organization_id}__wpp__01234567", "wppClaim": DEAD_CLAIM}
    return fleet.insert(organization_id, is_primary=False, settings=settings)


def webhook_pending(fleet: Fleet) -> str:
    row_id = fleet.connect()
    fleet.session(row_id).webhook = None
    fleet.change(row_id, wppWebhookPending=True)
    return row_id


def webhook_pending_of_a_number_that_nobody_waits_for(fleet: Fleet) -> str:
    row_id = webhook_pending(fleet)
    fleet.stack.platform.disconnect(fleet.session(row_id).name)
    return row_id


def webhook_outdated(fleet: Fleet) -> str:
    row_id = fleet.connect()
    fleet.session(row_id).webhook = "https://product.example/old"
    fleet.change(row_id, wppWebhookHash="0123456789abcdef")
    return row_id


def key_refused(fleet: Fleet) -> str:
    row_id = fleet.connect()
    fleet.stack.platform.invalidate_key(fleet.session(row_id).name)
    return row_id


def session_lost(fleet: Fleet) -> str:
    row_id = fleet.connect()
    GONE.times = UNKNOWN_FOUR_TIMES
    fleet.stack.platform_server.inject(GONE)
    return row_id


def session_ended(fleet: Fleet) -> str:
    row_id = fleet.connect()
    fleet.pair(row_id)
    fleet.change(row_id, wppStartedAt=None)
    fleet.stack.platform.disconnect(fleet.session(row_id).name)
    fleet.stack.platform.settings.auto_connect = True  # the phone still knows it
    return row_id


def session_stuck(fleet: Fleet) -> str:
    row_id = fleet.connect()
    fleet.stack.platform.settings.stuck_starting = True
    fleet.change(row_id, wppStartedAt=1, wppQrShown=None)
    return row_id


def pairing_not_noted(fleet: Fleet) -> str:
    row_id = fleet.connect()
    fleet.stack.platform.scan(fleet.session(row_id).name)
    return row_id


def start_was_killed(fleet: Fleet) -> str:
    row_id = fleet.connect()
    fleet.stack.platform.disconnect(fleet.session(row_id).name)
    fleet.change(row_id, wppClaim=claimed("start"))
    return row_id


def recreation_was_killed(fleet: Fleet) -> str:
    """The session was stopped and another client created; its key was not saved."""
    fleet.stack.platform.settings.one_client_per_organization = False
    row_id = fleet.connect()
    organization_id, session = fleet.row(row_id)["organization_id"], fleet.session(row_id)
    record = Record(row_id, organization_id, fleet.settings(row_id), True)
    fleet.stack.platform.disconnect(session.name)
    fleet.stack.platform.create(organization_id, record.idempotency_key)
    fleet.change(row_id, wppClaim=claimed("recreate"))
    return row_id


def recreation_was_killed_before_it_stopped_anything(fleet: Fleet) -> str:
    fleet.stack.platform.settings.one_client_per_organization = False
    row_id = fleet.connect()
    fleet.pair(row_id)
    fleet.change(row_id, wppClaim=claimed("recreate"))
    return row_id


def disconnection_was_killed(fleet: Fleet) -> str:
    row_id = fleet.connect()
    fleet.pair(row_id)
    fleet.change(row_id, wppClaim=claimed("disconnect"))
    return row_id


def claimed_and_disconnected(fleet: Fleet) -> str:
    row_id = fleet.connect()
    fleet.stack.platform.disconnect(fleet.session(row_id).name)
    fleet.change(row_id, active=False, wppDisconnected=True, wppClaim=claimed("start"))
    return row_id


class Mended(NamedTuple):
    set_up: Callable[[Fleet], str]
    kinds: set[str]
    starts: int = 0
    """Of the session that the row names at the end, beside the one that creating it is."""
    stops: int = 0
    active: bool = True


MENDED = {
    "a creation that was killed, with a client": Mended(unfinished_with_a_client, {"claim_dead", "unfinished"}),
    "a creation that was refused": Mended(unfinished_after_a_refusal, {"unfinished"}),
    "a creation whose traces were overwritten": Mended(unfinished_and_overwritten, {"unfinished"}),
    "a creation of a further number": Mended(unfinished_further, {"claim_dead", "unfinished"}),
    "a webhook that is not registered": Mended(webhook_pending, {"webhook_pending"}),
    "a webhook of a number that never was scanned": Mended(
        webhook_pending_of_a_number_that_nobody_waits_for, {"webhook_pending"}
    ),
    "a webhook with an old address": Mended(webhook_outdated, {"webhook_outdated"}),
    "a key that the platform refuses": Mended(key_refused, {"key_refused"}),
    "a session that the platform lost": Mended(session_lost, {"session_lost"}),
    "a session that ended, of a linked phone": Mended(session_ended, {"session_ended"}, starts=1),
    "a session that does not get to its QR": Mended(session_stuck, {"session_stuck"}, starts=1, stops=1),
    "a phone that nobody saw being linked": Mended(pairing_not_noted, {"pairing_not_noted"}),
    "a start that was killed": Mended(start_was_killed, {"claim_dead"}, starts=1),
    "a recreation that was killed": Mended(recreation_was_killed, {"claim_dead"}),
    "a recreation that had stopped nothing": Mended(recreation_was_killed_before_it_stopped_anything, {"claim_dead"}),
    "a disconnection that was killed": Mended(disconnection_was_killed, {"claim_dead"}, stops=1, active=False),
    "a claim on a disconnected number": Mended(claimed_and_disconnected, {"claim_dead"}, active=False),
}


# On a platform that gives one organization as many clients as it is asked for.
WITH_ALL_CLIENTS = (unfinished_with_a_client, recreation_was_killed, recreation_was_killed_before_it_stopped_anything)


@pytest.mark.parametrize("name", MENDED)
def test_it_is_found_without_a_change_then_mended_and_not_found_again(fleet: Fleet, name: str) -> None:
    case = MENDED[name]
    row_id = case.set_up(fleet)
    before, clients = fleet.stack.supabase.rows(), len(fleet.stack.platform.clients)
    fleet.stack.platform_server.clear()

    found = fleet.reconcile()[row_id]
    assert kinds(found) == left(found) == case.kinds
    assert fleet.stack.supabase.rows() == before
    assert {request.call for request in fleet.stack.platform_server.received} <= {"token", "status"}

    GONE.times = UNKNOWN_FOUR_TIMES if case.set_up is session_lost else 0
    mended = fleet.reconcile(fix=True)[row_id]
    assert (kinds(mended), mended.left, mended.problems) == (case.kinds, (), ())
    settings, session = fleet.settings(row_id), fleet.session(row_id)
    assert fleet.row(row_id)["is_active"] == case.active
    assert (session.starts, session.stops, session.restarts) == (1 + case.starts, case.stops, 0)
    assert "wppClaim" not in settings
    assert settings["wppApiKey"] in [client.api_key for client in fleet.stack.platform.clients if client.key_valid]
    assert settings.get("theirs") == ("kept" if case.set_up is unfinished_and_overwritten else None)
    if case.active:
        assert session.webhook == fleet.stack.environment()["WPP_WEBHOOK_URL"]
    if case.set_up in WITH_ALL_CLIENTS:
        assert len(fleet.stack.platform.clients) == clients

    assert [outcome.found for outcome in fleet.reconcile(fix=True).values() if outcome.found] == []
