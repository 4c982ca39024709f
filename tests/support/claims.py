"""Who holds the claim of a row, as its changes tell, and whether everybody respects it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.support.releases import PRESENT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.interleaving import Actor

DEADLINE_SECONDS = 27.0
"""Of an actor, for its work."""
_FENCED = ("create", "start", "stop")
# As the README promises them, in seconds.
_DEAD_AFTER = 6.0
_START_SECONDS = 10.0
# The longest from learning of one's claim to the first beat: a second for a change under way, and a step of the world.
_FIRST_BEAT = 1.6


class Claims:
    def __init__(self) -> None:
        self.problems: list[str] = []
        self.wall_clocks_mattered = False
        """Somebody started a session while a new client's first start was under way: its claim is released beside it, and how
        long others give it depends on their clocks."""
        self.creators_overtaken = 0
        """How often a claim was taken over whose holder had sent a `create`: only the idempotency key helps then."""
        self.disconnected_at = float("inf")
        """When the number was disconnected for the first time."""
        self.holder: Actor | None = None
        self._lost: set[Actor] = set()
        self._owners: dict[str, Actor | None] = {}
        self._heard = 0.0
        self._unclaimed_starts: list[tuple[Actor, float]] = []

    def sending(self, actor: Actor, call: str, now: float) -> None:
        """An actor has made sure of all that it has to, and sends."""
        if call in _FENCED and actor.is_fenced and actor in self._lost:
            self.problems.append(f"{call} was sent under a claim that was lost")
        if call == "start":
            for other, sent in self._unclaimed_starts:
                if max(other.ended, sent + _START_SECONDS) > actor.began:
                    self.wall_clocks_mattered |= other.process.skew != actor.process.skew
            if self.holder is None:
                self._unclaimed_starts.append((actor, now))

    def changed(self, actor: Actor | None, settings: Mapping[str, Any], now: float) -> None:
        """The row got these settings from an actor, or from other code."""
        if settings.get("wppDisconnected") and settings.get("wppApiKey"):
            self.disconnected_at = min(self.disconnected_at, now)
        claim = settings.get("wppClaim")
        claim_id = claim.get("id") if isinstance(claim, dict) else None
        owner = self._owners.setdefault(claim_id, actor) if claim_id else None
        if owner is self.holder:
            self._heard = now if actor is owner else self._heard
            return
        if actor is not None and self.holder not in (None, actor):
            self._lost.add(self.holder)
            self.creators_overtaken += "create" in self.holder.calls
            self._require_death(self.holder, actor, now)
        # What other code brings back is nobody's.
        self._lost.discard(owner)
        self.holder, self._heard = (owner, now) if actor is not None else (None, now)

    def _require_death(self, holder: Actor, actor: Actor, now: float) -> None:
        """A holder may be found dead only without beats: if they were in trouble, or do not know yet that they hold the claim, or
        have only just learned it, or not any more. A process also knows at once which claims its own invocations gave up."""
        is_dead = now - self._heard >= _DEAD_AFTER and (
            holder.process.troubled_at >= self._heard
            or not holder.is_beating
            or now - holder.beating_since < _FIRST_BEAT
        )
        is_dead &= holder.process.release is actor.process.release is PRESENT
        is_abandoned = holder.done or holder.process is actor.process
        if not (is_abandoned or is_dead or now - holder.began >= DEADLINE_SECONDS):
            self.problems.append("the claim of somebody who was at work was taken over")
