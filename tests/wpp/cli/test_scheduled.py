"""`reconcile --fix` as AWS Lambda calls it on a schedule."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import pytest

from wpp.cli.scheduled import handler
from wpp.errors import NotConfigured

if TYPE_CHECKING:
    from tests.support.fleet import Fleet


class Context:
    aws_request_id = "request-1"

    def __init__(self, *milliseconds: int) -> None:
        """What is left of the time, each time that it is asked for; the last one for ever."""
        self._left = [*milliseconds]

    def get_remaining_time_in_millis(self) -> int:
        return self._left.pop(0) if len(self._left) > 1 else self._left[0]


@pytest.fixture
def _configured(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in fleet.stack.environment().items():
        monkeypatch.setenv(name, value)
    # The handler of an earlier test in this process would go on writing to that test's standard error.
    monkeypatch.setattr(logging.getLogger("wpp"), "handlers", [])


@pytest.mark.usefixtures("_configured")
def test_it_mends_and_logs_what_it_found_a_line_each(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    mended, unlinked = fleet.connect(), fleet.connect()
    fleet.change(mended, wppWebhookPending=True)
    fleet.change(unlinked, wppPaired=True)
    counts = {"numbers": 2, "with_findings": 2, "left": 1}
    last = {"is_complete": True, "after": max(mended, unlinked)}
    assert handler({"rate": 1000}, Context(880_000)) == counts | last
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    logged = {line["integration"]: line for line in lines if "integration" in line}
    assert (logged[mended]["findings"], logged[mended]["left"]) == (["webhook_pending"], [])
    assert logged[unlinked]["left"][0].startswith("phone_unlinked: ")
    assert lines[-1].items() >= {"message": "reconciled", "request_id": "request-1", **counts, **last}.items()


@pytest.mark.usefixtures("_configured")
def test_it_ends_before_its_time_does_and_says_where_to_go_on(fleet: Fleet) -> None:
    ids = sorted(fleet.insert() for _ in range(3))
    short = handler({}, Context(880_000, 59_000))
    assert (short["numbers"], short["is_complete"], short["after"]) == (0, False, None)
    assert handler({"after": ids[1]}, Context(880_000))["numbers"] == 1


def test_what_it_cannot_begin_with_is_an_error_for_the_alarm() -> None:
    with pytest.raises(NotConfigured):
        handler({}, Context(880_000))
