"""The check of a platform's contract: passes on the emulated platform, and finds what a worse one does not keep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy.check_platform import CHECKS, check
from emulator.faults import Fault

if TYPE_CHECKING:
    from emulator.stack import Stack


def failing(stack: Stack) -> list[str]:
    report = check(stack.environment())
    assert set(report) == set(CHECKS)
    return [name for name, (holds, _) in report.items() if not holds]


def test_the_emulated_platform_keeps_the_whole_contract_and_is_left_clean(stack: Stack) -> None:
    assert failing(stack) == []
    last = stack.platform.clients[-1]
    assert stack.platform.state(stack.platform.sessions[last.session]) == "offline"


def test_a_platform_that_doubles_clients_is_found(stack: Stack) -> None:
    stack.platform.settings.one_client_per_organization = False
    assert failing(stack) == ["one organization is one client"]
    stack.platform.settings.honours_idempotency_key = False
    assert "the same Idempotency-Key is the same client" in failing(stack)


def test_a_platform_that_lets_anybody_in_is_found(stack: Stack) -> None:
    # The first create is the check's own; the second comes with a wrong secret.
    open_to_all = Fault("create", status=200, body=b'{"apiKey": "key_1", "session": "client_1"}', skip=1)
    stack.platform_server.inject(open_to_all)
    assert "a wrong secret is refused" in failing(stack)
