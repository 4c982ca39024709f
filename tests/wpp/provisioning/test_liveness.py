"""A claim is dead once this process has seen it unchanged for long enough, and never sooner."""

from __future__ import annotations

from wpp.clock import Clock
from wpp.provisioning.liveness import Liveness
from wpp.provisioning.record import Claim, Record
from wpp.runtime import Memory


class Observer:
    def __init__(self) -> None:
        self.seconds = 1000.0
        self.memory = Memory()

    def sees(self, claim: Claim | None, row_id: str = "row") -> bool:
        record = Record(row_id, "organization", {})
        if claim and claim.beat is None:
            record = Record(row_id, "organization", {"wppClaim": {"id": claim.id, "expiresAt": 1}})
        elif claim:
            record = record.claimed(claim, 1.0)
        return Liveness(self.memory, Clock(monotonic=lambda: self.seconds)).is_live(record)


def test_a_claim_is_dead_after_six_seconds_without_a_beat() -> None:
    observer, claim = Observer(), Claim("a", 1, "create")
    assert observer.sees(claim)
    observer.seconds += 5.9
    assert observer.sees(claim)
    observer.seconds += 0.1
    assert not observer.sees(claim)


def test_each_beat_and_each_new_claim_begins_the_time_anew() -> None:
    observer = Observer()
    for claim in (Claim("a", 1, "create"), Claim("a", 2, "create"), Claim("b", 2, "create")):
        assert observer.sees(claim)
        observer.seconds += 5.9
        assert observer.sees(claim)


def test_what_was_not_observed_counts_for_nothing() -> None:
    observer = Observer()
    observer.seconds += 3600
    assert observer.sees(Claim("a", 1, "create"))


def test_claims_of_different_rows_are_observed_apart() -> None:
    observer, claim = Observer(), Claim("a", 1, "create")
    observer.sees(claim, "row 1")
    observer.seconds += 7
    assert observer.sees(claim, "row 2")
    assert not observer.sees(claim, "row 1")


def test_a_claim_from_before_beats_is_honoured_for_forty_seconds() -> None:
    observer, claim = Observer(), Claim("a", None, "create")
    assert observer.sees(claim)
    observer.seconds += 39.9
    assert observer.sees(claim)
    observer.seconds += 0.1
    assert not observer.sees(claim)


def test_a_process_knows_at_once_that_its_own_abandoned_claim_is_dead() -> None:
    observer, claim = Observer(), Claim("a", 1, "create")
    Liveness(observer.memory, Clock()).abandon("a")
    assert not observer.sees(claim)
    assert not observer.sees(None)


def test_a_start_under_an_abandoned_claim_of_our_own_has_its_time_from_then_on_whenever_it_is_asked_for() -> None:
    observer = Observer()
    liveness = Liveness(observer.memory, Clock(monotonic=lambda: observer.seconds))
    record = Record("row", "organization", {}).claimed(Claim("a", 1, "start"), 1.0)
    assert liveness.is_live(record)
    observer.seconds += 5
    liveness.abandon("a")
    left = []
    for _ in range(3):
        left.append(liveness.start_seconds_left(record))
        observer.seconds += 4
    assert left == [11, 7, 3]


def test_a_dead_start_may_have_been_sent_until_a_second_after_it_was_seen_and_then_has_ten() -> None:
    observer = Observer()
    liveness = Liveness(observer.memory, Clock(monotonic=lambda: observer.seconds))
    record = Record("row", "organization", {}).claimed(Claim("a", 1, "start"), 1.0)
    left = []
    for _ in range(4):
        left.append(liveness.start_seconds_left(record))
        observer.seconds += 6
    assert left == [None, 5, -1, -7]


def test_only_a_dead_start_is_given_time() -> None:
    observer = Observer()
    liveness = Liveness(observer.memory, Clock(monotonic=lambda: observer.seconds))
    record = Record("row", "organization", {})
    assert liveness.start_seconds_left(record) is None
    for claim in (Claim("a", 1, "create"), Claim("b", 1, "restart")):
        claimed = record.claimed(claim, 1.0)
        assert liveness.start_seconds_left(claimed) is None
        assert liveness.is_live(claimed)
        observer.seconds += 6
        assert liveness.start_seconds_left(claimed) == (5 if claim.is_start else None)


def test_a_start_of_older_code_has_all_its_time_once_it_is_found_dead() -> None:
    observer = Observer()
    liveness = Liveness(observer.memory, Clock(monotonic=lambda: observer.seconds))
    record = Record("row", "organization", {"wppStart": {"id": "a", "expiresAt": 1}})
    assert liveness.start_seconds_left(record) is None
    observer.seconds += 40
    assert liveness.start_seconds_left(record) == 10
