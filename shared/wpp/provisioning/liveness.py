"""Whether the holder of a claim is still at work: judged by what this process saw change, never by comparing clocks.

As Kubernetes' leader election does (client-go, tools/leaderelection): a claim that an observer has seen unchanged for long
enough on its own monotonic clock is dead. A process remembers what it saw across invocations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wpp.provisioning.settling import FENCE_SECONDS, START_SECONDS

if TYPE_CHECKING:
    from wpp.clock import Clock
    from wpp.provisioning.record import Claim, Record
    from wpp.runtime import Memory

DEAD_AFTER = 6.0
"""Seconds without a beat: three of them, which come every 2 seconds."""
DEAD_WITHOUT_BEATS_AFTER = 40.0
"""The same for a claim of code from before beats, whose holders wrote nothing while they worked."""


class Liveness:
    def __init__(self, memory: Memory, clock: Clock) -> None:
        self._seen = memory.claims_seen
        self._abandoned = memory.abandoned_claims
        self._clock = clock

    def is_live(self, record: Record) -> bool:
        """Whether somebody is at work on a row. Call it with a record that was just read: this is what counts as seeing it."""
        claim = record.claim
        if claim is None or self._abandoned.get(claim.id) is not None:
            return False
        unchanged = self._clock.monotonic() - self._seen_since(record.row_id, claim)
        return unchanged < (DEAD_AFTER if claim.beat is not None else DEAD_WITHOUT_BEATS_AFTER)

    def start_seconds_left(self, record: Record) -> float | None:
        """How long a start that the holder of the row's dead claim may have sent can still take to show, zero or less if it has
        had its time; None if no such claim is in the way.

        The holder confirmed the claim before this process saw it unchanged for the first time, and sent nothing later than
        FENCE_SECONDS after that, unless each of three confirmations took longer.
        """
        claim = record.claim
        if claim is None or not claim.is_start or self.is_live(record):
            return None
        if claim.beat is None:  # code from before beats confirms nothing
            return START_SECONDS
        since = self._abandoned.get(claim.id)  # one of our own, under which nothing was sent later
        if since is None:
            since = self._seen_since(record.row_id, claim)
        return since + FENCE_SECONDS + START_SECONDS - self._clock.monotonic()

    def abandon(self, claim_id: str) -> None:
        """The work under a claim of this process has ended, whether or not it could be released."""
        self._abandoned.put(claim_id, self._clock.monotonic())

    def _seen_since(self, row_id: str, claim: Claim) -> float:
        """When this process saw the claim as it is for the first time: now, if it never did."""
        seen = self._seen.get(row_id)
        if seen is None or seen[:2] != (claim.id, claim.beat):
            seen = claim.id, claim.beat, self._clock.monotonic()
            self._seen.put(row_id, seen)
        return seen[2]
