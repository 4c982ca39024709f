"""A claim that a call by itself holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wpp.provisioning.claim import HeldClaim

if TYPE_CHECKING:
    from tests.support.alone import Alone
    from wpp.clock import Tick
    from wpp.provisioning.record import Record
    from wpp.supabase.rows import Integration


def taken(alone: Alone, row: Integration, seconds: float = 28.0) -> tuple[HeldClaim, Tick]:
    """A claim held on this row, and what each of its beats calls."""
    claim = HeldClaim(alone.begin(seconds), "create")
    assert claim.take(row, lambda _: True)[0]
    alone.calls()
    first, tick = alone.ticks[-1]
    assert first == 2
    return claim, tick


def stored_claim(alone: Alone) -> dict[str, Any] | None:
    claim: dict[str, Any] | None = alone.settings().get("wppClaim")
    return claim


def unchanged(record: Record) -> Record:
    return record
