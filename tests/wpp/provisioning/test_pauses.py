"""How long somebody who waits pauses between two looks."""

from __future__ import annotations

import pytest

from wpp.provisioning.pauses import pause_after


@pytest.mark.parametrize(
    ("waited", "looked_for", "pause"),
    [
        (0, 1, 0.15),
        (1.875, 1, 0.15),
        (2.5, 1, 0.2),
        (12.5, 1, 1.0),
        (100, 1, 1.0),
        (0, 15, 0.15),
        (0, 50, 0.5),
        (0, 101, 1.0),
        (0, 1000, 1.0),
    ],
)
def test_a_pause_is_a_share_of_the_time_waited_and_longer_where_many_look(
    waited: float, looked_for: int, pause: float
) -> None:
    assert pause_after(waited, looked_for) == pytest.approx(pause)


def test_a_wait_of_15_seconds_takes_fewer_than_45_looks() -> None:
    waited, looks = 0.0, 0
    while waited < 15:
        waited += pause_after(waited, 1)
        looks += 1
    assert looks < 45
