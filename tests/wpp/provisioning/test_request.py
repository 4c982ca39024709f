"""What a row remembers of keyed requests."""

from __future__ import annotations

from typing import Any

from wpp.provisioning.request import KeyedRequest


def test_a_row_remembers_the_newest_keys_only() -> None:
    settings: dict[str, Any] = {"theirs": 1}
    for number in range(60):
        settings = KeyedRequest(f"{number:032x}", "plain").recorded(settings, 1000.0 + number)
    assert settings["theirs"] == 1
    assert sorted(settings["wppRequests"]) == [f"{number:032x}" for number in range(10, 60)]
