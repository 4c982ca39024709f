"""What the reconciler does about a claim: it waits to see whether somebody is at work, and is careful with what was cut off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.faults import Fault
from tests.support.fleet import DEAD_CLAIM, kinds
from wpp.provisioning.claim import HeldClaim

if TYPE_CHECKING:
    from tests.support.fleet import Fleet


def test_a_recreation_that_was_cut_off_is_not_finished_while_a_phone_may_be_linked(fleet: Fleet) -> None:
    fleet.stack.platform.settings.one_client_per_organization = False
    row_id = fleet.connect()
    fleet.pair(row_id)
    fleet.change(row_id, wppClaim={**DEAD_CLAIM, "doing": "recreate"})
    key, session = fleet.settings(row_id)["wppApiKey"], fleet.session(row_id)
    for unclear in (
        Fault("status", status=503, times=None),
        Fault("status", status=200, body=b'{"status": "TOS_BLOCK"}', times=None),
    ):
        fleet.stack.platform_server.inject(unclear)
        fleet.reconcile(fix=True)
        fleet.stack.platform_server.clear_faults()
    assert fleet.settings(row_id)["wppApiKey"] == key
    assert (len(fleet.stack.platform.clients), session.stops) == (1, 0)


def test_a_recreation_that_was_cut_off_before_anybody_scanned_is_finished_from_its_stop_on(fleet: Fleet) -> None:
    fleet.stack.platform.settings.one_client_per_organization = False
    row_id = fleet.connect()
    session = fleet.session(row_id)
    fleet.change(row_id, wppClaim={**DEAD_CLAIM, "doing": "recreate"})
    assert fleet.reconcile(fix=True)[row_id].left == ()
    assert (len(fleet.stack.platform.clients), session.stops) == (2, 1)
    assert fleet.session(row_id) is not session


def test_a_claim_whose_holder_beats_is_left_to_it(fleet: Fleet) -> None:
    row_id = fleet.begin(wppClaim=None)
    with fleet.process() as process:
        invocation = process.begin("wpp-create", "request")
        row = invocation.rows.by_id(row_id)
        assert row
        holder = HeldClaim(invocation, "create")
        holder.take(row, lambda _: True)

        def beat_between_the_looks() -> bool:
            if fleet.sleeps:
                holder.change(lambda record: record)
            return False

        outcome = fleet.reconcile(fix=True, is_over=beat_between_the_looks)[row_id]
        assert (outcome.is_busy, outcome.found) == (True, ())
        assert fleet.stack.platform.clients == []
        holder.release()


def test_a_claim_from_before_beats_is_honoured_for_longer(fleet: Fleet) -> None:
    row_id = fleet.begin(wppClaim={"id": "old", "expiresAt": 1})
    assert kinds(fleet.reconcile()[row_id]) == {"claim_dead", "unfinished"}
    assert 40 <= sum(fleet.sleeps) < 41
