"""How long to wait between two looks at a row on which somebody else is at work, or at a session that gets its QR."""

from __future__ import annotations

SHORTEST_PAUSE, LONGEST_PAUSE = 0.15, 1.0
"""Seconds; in between, a share of the time waited, so that what comes late is not missed by much."""
_SHARE_OF_THE_WAIT = 0.08
_PAUSE_PER_LOOK = 0.01
"""Seconds for each that this process looks for, so that all together look about a hundred times a second, up to LONGEST_PAUSE."""


def pause_after(waited: float, looked_for: int) -> float:
    """Seconds until the next look after so many seconds of waiting, in a process that looks for so many things."""
    return min(max(SHORTEST_PAUSE, _SHARE_OF_THE_WAIT * waited, _PAUSE_PER_LOOK * looked_for), LONGEST_PAUSE)
