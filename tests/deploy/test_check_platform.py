"""The check of a platform's contract: passes on the emulated platform, and finds what a worse one does not keep."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deploy.check_platform import CHECKS, check, main
from emulator.faults import Fault
from wpp.errors import NotConfigured

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


def test_an_address_that_is_not_the_platforms_is_not_praised(stack: Stack) -> None:
    stack.platform_server.inject(Fault("*", status=404, body=b"<html>", times=None))
    assert failing(stack) == [*CHECKS]


@pytest.mark.parametrize(("name", "value"), [("WPP_BASE_URL", "http://198.51.100.7"), ("WPP_SECRET", "with a\nbreak")])
def test_what_the_functions_would_not_send_is_not_sent_here(stack: Stack, name: str, value: str) -> None:
    with pytest.raises(NotConfigured, match=name):
        check({**stack.environment(), name: value})


@pytest.mark.parametrize(("secret", "doubles"), [("wrong", False), (None, True)])
def test_only_a_platform_that_made_a_client_is_said_to_double_them(
    stack: Stack,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    secret: str | None,
    *,
    doubles: bool,
) -> None:
    stack.platform.settings.one_client_per_organization = stack.platform.settings.honours_idempotency_key = False
    environment = stack.environment()
    monkeypatch.setenv("WPP_BASE_URL", environment["WPP_BASE_URL"])
    monkeypatch.setenv("WPP_SECRET", f" {secret or environment['WPP_SECRET']} ")
    assert main() == 1
    printed = capsys.readouterr().out
    assert ("doubles clients" in printed) == doubles
    assert ("holds  create makes a client" in printed) == doubles
