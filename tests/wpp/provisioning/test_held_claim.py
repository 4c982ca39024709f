"""What a holder changes under its claim, how it makes sure of it, and how it gives it back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.alone import BEGIN, GET, LOST_AFTERWARDS, PATCH, TIMED_OUT, Alone, answer
from tests.support.held_claim import stored_claim, taken, unchanged
from wpp.errors import UpstreamRefused
from wpp.provisioning.claim import ClaimLost, HeldClaim

if TYPE_CHECKING:
    from wpp.supabase.rows import Integration


@pytest.fixture
def row(alone: Alone) -> Integration:
    return alone.insert(settings={"theirs": 1}, is_active=False)


def test_a_change_whose_response_is_lost_is_found_made(alone: Alone, row: Integration) -> None:
    claim, _ = taken(alone, row)
    alone.instead(PATCH, LOST_AFTERWARDS)
    claim.change(unchanged)
    assert alone.calls() == [PATCH, GET]
    held = stored_claim(alone)
    assert held
    assert held["beat"] == 1


def test_a_change_can_switch_the_row_on(alone: Alone, row: Integration) -> None:
    claim, _ = taken(alone, row)
    assert claim.change(unchanged, active=True).is_active
    assert claim.change(unchanged).is_active
    assert not claim.change(unchanged, active=False, release=True).is_active
    assert stored_claim(alone) is None
    assert claim.row is None


def test_a_release_that_turns_out_to_be_done_is_not_sent_again(alone: Alone, row: Integration) -> None:
    claim, _ = taken(alone, row)
    alone.write(wppClaim=None, wppIdempotencyKey=None)
    alone.instead(PATCH, answer(200, []))
    # Found released already, as if the response to the release had been lost.
    claim.change(lambda record: record, release=True)
    assert alone.calls() == [PATCH, GET]
    assert alone.settings() == {"theirs": 1}


@pytest.mark.parametrize(("within", "calls"), [(4, []), (3.9, []), (3.5, [PATCH]), (1, [PATCH])])
def test_a_claim_is_confirmed_if_that_is_long_ago(
    alone: Alone, row: Integration, within: float, calls: list[str]
) -> None:
    claim, _ = taken(alone, row)
    alone.passed += 3.5
    claim.confirm(within)
    assert alone.calls() == calls


def test_a_claim_that_was_dropped_cannot_be_confirmed_and_is_dead_at_once(alone: Alone, row: Integration) -> None:
    claim, _ = taken(alone, row)
    claim.drop()
    assert claim.row is None
    with pytest.raises(ClaimLost):
        claim.confirm()
    assert alone.runtime.memory.abandoned_claims.get(claim.id) == alone.clock.monotonic()
    assert stored_claim(alone)


def test_a_claim_that_was_never_asked_for_has_nothing_to_release(alone: Alone, row: Integration) -> None:
    HeldClaim(alone.begin(), "create").release()
    assert alone.calls() == []


def test_a_claim_whose_placing_was_lost_is_released_all_the_same(alone: Alone, row: Integration) -> None:
    claim = HeldClaim(alone.begin(), "start")
    alone.instead(GET, *[TIMED_OUT] * 4)
    alone.instead(PATCH, lambda: alone.write(wppClaim={"id": claim.id, "beat": 0, "doing": "start"}), TIMED_OUT)
    alone.outcome(lambda: claim.take(row, lambda _: True))
    claim.release()
    assert alone.settings() == {"theirs": 1}


def test_a_release_may_change_the_record_and_leave_a_refusal(alone: Alone, row: Integration) -> None:
    claim, _ = taken(alone, row)
    claim.release(UpstreamRefused("platform", "create", "said no"), lambda record: record.paired())
    failed = {"failed": claim.id, "code": "platform_refused", "problem": "WPP Platform said no (create)"}
    assert alone.settings().items() >= {"theirs": 1, "wppPaired": True, "wppClaim": failed}.items()


def test_a_release_that_fails_is_logged(alone: Alone, row: Integration) -> None:
    claim, _ = taken(alone, row)
    alone.instead(GET, *[answer(500)] * 4)
    with alone.logging():
        claim.release()
    fields = {**alone.fields(), "organization": None, "integration": row.id, "code": "supabase_unavailable"}
    assert alone.logged == [("WARNING", "the claim could not be released; others will find it dead", fields)]


def test_a_release_is_not_tried_for_longer_than_it_takes_others_to_find_the_claim_dead(
    alone: Alone, row: Integration
) -> None:
    claim, _ = taken(alone, row)
    alone.takes(GET, 1.9)
    alone.instead(GET, *[TIMED_OUT] * 4)
    claim.release()
    assert [sent.timeout for sent in alone.sent if sent.call == GET] == pytest.approx([6, 3.9, 1.6])


def test_a_release_may_use_the_time_that_is_kept_for_the_end(alone: Alone, row: Integration) -> None:
    claim, _ = taken(alone, row, 8)
    alone.passed += 7.5
    claim.release()
    assert stored_claim(alone) is None


@pytest.mark.parametrize(("seconds", "expires"), [(8.0, 17), (0.8, 10.7)])
def test_a_claim_tells_older_code_until_when_it_may_be_held(
    alone: Alone, row: Integration, seconds: float, expires: float
) -> None:
    taken(alone, row, seconds)
    assert alone.settings()["wppClaim"]["expiresAt"] == round((BEGIN + expires) * 1000)


def test_claims_have_ids_of_their_own(alone: Alone) -> None:
    ids = {HeldClaim(alone.begin(), "create").id for _ in range(3)}
    assert len(ids) == 3
    assert {len(bytes.fromhex(claim_id)) for claim_id in ids} == {16}
