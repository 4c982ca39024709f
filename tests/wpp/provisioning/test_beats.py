"""The beats of a held claim, one by one."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.alone import BEGIN, GET, LOST_AFTERWARDS, PATCH, TIMED_OUT, Alone
from tests.support.held_claim import stored_claim, taken, unchanged
from wpp.provisioning import claim as claims
from wpp.provisioning.claim import ClaimLost, HeldClaim

if TYPE_CHECKING:
    from wpp.supabase.rows import Integration


@pytest.fixture
def row(alone: Alone) -> Integration:
    return alone.insert(settings={"theirs": 1}, is_active=False)


def test_a_beat_changes_the_number_of_the_claim_and_comes_every_two_seconds(alone: Alone, row: Integration) -> None:
    claim, tick = taken(alone, row)
    for beat in (1, 2, 3):
        assert tick() == 2
        held = {"id": claim.id, "beat": beat, "doing": "create", "expiresAt": (BEGIN + 37) * 1000}
        assert stored_claim(alone) == held
    assert [(sent.call, sent.timeout) for sent in alone.sent] == [(PATCH, 2)] * 3
    assert (alone.settings()["theirs"], alone.row()["is_active"]) == (1, False)


@pytest.mark.parametrize(("took", "first"), [(0.5, 1.5), (4.5, 0.0)])
def test_the_first_beat_comes_two_seconds_after_the_claim_was_asked_for(
    alone: Alone, row: Integration, took: float, first: float
) -> None:
    """However late the response is: others may have seen the claim ever since."""
    alone.takes(PATCH, took)
    assert HeldClaim(alone.begin(), "create").take(row, lambda _: True)[0]
    assert alone.ticks[-1][0] == first


def test_a_beat_brings_back_a_claim_that_other_code_has_removed(alone: Alone, row: Integration) -> None:
    claim, tick = taken(alone, row)
    alone.write(wppClaim=None)
    assert tick() == 2
    assert stored_claim(alone) == {"id": claim.id, "beat": 1, "doing": "create", "expiresAt": (BEGIN + 37) * 1000}


def test_a_beat_confirms_the_claim(alone: Alone, row: Integration) -> None:
    claim, tick = taken(alone, row)
    alone.passed += 4
    assert not claim.is_confirmed()
    tick()
    assert claim.is_confirmed()
    assert claim.row == alone.stored()


def test_a_claim_is_confirmed_from_when_its_beat_was_sent(alone: Alone, row: Integration) -> None:
    claim, tick = taken(alone, row)
    alone.takes(PATCH, 1.5)
    tick()
    alone.passed += 2.4
    assert claim.is_confirmed()
    alone.passed += 0.2
    assert not claim.is_confirmed()


def test_a_failed_beat_is_tried_twice_and_again_after_half_a_second(alone: Alone, row: Integration) -> None:
    _, tick = taken(alone, row)
    alone.instead(PATCH, TIMED_OUT, TIMED_OUT, TIMED_OUT)
    assert tick() == 0.5
    assert alone.calls() == [PATCH, GET, PATCH]
    assert tick() == 2
    assert alone.calls() == [PATCH, GET, PATCH]


@pytest.mark.parametrize(("left", "pause"), [(0.5, 2), (0, None), (-1, None)])
def test_beats_end_with_the_time_for_work(alone: Alone, row: Integration, left: float, pause: float | None) -> None:
    _, tick = taken(alone, row, 8)
    alone.passed += 7 - left
    assert tick() == pause
    assert alone.calls() == ([PATCH] if pause else [])


def test_beats_end_once_the_claim_is_somebody_elses(alone: Alone, row: Integration) -> None:
    _, tick = taken(alone, row)
    alone.write(wppClaim={"id": "theirs", "beat": 1, "doing": "create"})
    assert tick() is None


def test_beats_end_when_the_claim_is_released(alone: Alone, row: Integration) -> None:
    claim, tick = taken(alone, row)
    claim.release()
    alone.calls()
    assert tick() is None
    assert alone.calls() == []
    assert stored_claim(alone) is None


def test_beats_end_with_the_thread_that_works(alone: Alone, row: Integration) -> None:
    worker = threading.Thread(target=taken, args=[alone, row])
    worker.start()
    worker.join()
    assert alone.ticks[-1][1]() is None


class _Ended:
    """What gevent has in the place of an ended greenlet's thread, from Python 3.13 on."""

    def is_alive(self) -> bool:
        raise RuntimeError


def test_beats_end_with_a_greenlet(alone: Alone, row: Integration, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "current_thread", _Ended)
    _, tick = taken(alone, row)
    assert tick() is None


def test_what_nobody_foresaw_is_logged_and_the_beats_go_on(
    alone: Alone, row: Integration, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, tick = taken(alone, row)
    monkeypatch.setattr(claims, "writable_record_of", lambda _: 1 / 0)
    with alone.logging():
        assert tick() == 0.5
    assert alone.logged == [
        ("ERROR", "a beat failed for an unforeseen reason", alone.fields() | {"organization": None})
    ]


def test_a_beat_says_what_the_holder_does_next(alone: Alone, row: Integration) -> None:
    claim, tick = taken(alone, row)
    claim.change(unchanged, doing="start")
    alone.passed += 2
    tick()
    assert claim.doing == "start"
    assert stored_claim(alone) == {"id": claim.id, "beat": 2, "doing": "start", "expiresAt": (BEGIN + 37) * 1000}


def test_a_beat_takes_nothing_back_of_a_change_whose_response_is_on_its_way(alone: Alone, row: Integration) -> None:
    claim, tick = taken(alone, row)
    alone.takes(PATCH, 2)
    alone.instead(PATCH, LOST_AFTERWARDS)
    alone.instead(GET, tick)
    claim.change(unchanged, doing="start")
    doings = [sent.payload["settings"]["wppClaim"]["doing"] for sent in alone.sent if sent.call == PATCH]
    # The beat knows the row from before, so its first attempt is in vain.
    assert doings == ["start", "create", "start", "start"]
    held = stored_claim(alone)
    assert held
    assert (held["beat"], held["doing"]) == (3, "start")


def test_a_beat_does_not_put_a_claim_back_that_is_being_released(alone: Alone, row: Integration) -> None:
    claim, tick = taken(alone, row)
    alone.takes(PATCH, 1)
    alone.instead(PATCH, LOST_AFTERWARDS)
    alone.instead(GET, tick)
    claim.change(unchanged, release=True)
    assert alone.calls() == [PATCH, GET, PATCH, GET]  # the first of each is the release's
    assert stored_claim(alone) is None


def test_a_claim_that_other_code_wiped_out_is_put_back_as_it_was(alone: Alone, row: Integration) -> None:
    claim, tick = taken(alone, row)
    claim.change(unchanged, doing="start")
    alone.write(wppClaim=None)
    alone.passed += 2
    tick()
    assert stored_claim(alone) == {"id": claim.id, "beat": 2, "doing": "start", "expiresAt": (BEGIN + 37) * 1000}


@pytest.mark.parametrize(
    "theirs",
    [
        {"wppClaim": {"failed": "theirs", "code": "platform_refused", "problem": "no"}},
        {"wppClaim": None, "wppApiKey": "key_0123456789", "wppAccountNumber": "client_1"},
    ],
)
def test_a_claim_after_which_somebody_else_was_at_work_is_lost(
    alone: Alone, row: Integration, theirs: dict[str, Any]
) -> None:
    claim, tick = taken(alone, row)
    alone.write(**theirs)
    after = alone.settings()
    with pytest.raises(ClaimLost):
        claim.change(unchanged)
    alone.passed += 2
    assert tick() is None
    assert alone.settings() == after


def test_a_beat_between_two_changes_is_never_repeated(alone: Alone, row: Integration) -> None:
    claim, tick = taken(alone, row)
    alone.takes(PATCH, 2)
    alone.instead(PATCH, tick)  # while the change is on its way
    claim.change(unchanged)
    held = stored_claim(alone)
    assert held
    assert held["beat"] == 3


def test_a_change_is_a_beat_too_and_the_next_one_comes_two_seconds_after_it(alone: Alone, row: Integration) -> None:
    claim, tick = taken(alone, row)
    alone.passed += 1.5
    pauses = []
    alone.instead(PATCH, lambda: pauses.append(tick()))  # while the change is on its way
    claim.change(unchanged)
    alone.passed += 1.5
    pauses.append(tick())
    assert pauses == [1, 0.5]
    assert alone.calls() == [PATCH]
    alone.passed += 0.5
    assert tick() == 2
    assert alone.calls() == [PATCH]


def test_a_change_that_is_on_its_way_for_long_does_not_keep_back_the_beats(alone: Alone, row: Integration) -> None:
    claim, tick = taken(alone, row)
    alone.takes(PATCH, 1)
    pauses: list[float | None] = []
    alone.instead(PATCH, lambda: pauses.append(tick()))
    claim.change(unchanged)
    assert pauses == [2]
    assert alone.calls() == [PATCH, PATCH, GET, PATCH]
