"""What comes next for a number, for each thing that its row may say."""

from __future__ import annotations

from typing import Any

import pytest

from wpp.provisioning.decide import (
    Create,
    Decision,
    Fail,
    Insert,
    Take,
    Use,
    Wait,
    decide,
    restart_is_due,
    restart_was_in_vain,
)
from wpp.provisioning.record import Claim, Failure, record_of
from wpp.supabase.rows import Integration

KEY = {"wppApiKey": "key_0123456789", "wppAccountNumber": "client_1", "wppApiKeyIssuedAt": 1}
FAILED = {"wppClaim": {"failed": "theirs", "code": "platform_refused", "problem": "no"}}


def claim(claim_id: str = "theirs", doing: str = "create") -> dict[str, Any]:
    return {"wppClaim": {"id": claim_id, "beat": 1, "doing": doing}}


def row(settings: dict[str, Any]) -> Integration:
    return Integration("row", "organization", True, True, settings, "", None)


def decided(
    settings: dict[str, Any], *, is_live: bool = True, unwanted: str | None = None, awaited: str | None = None
) -> Decision:
    return decide(row(settings), own_claim_id="ours", is_live=is_live, unwanted=unwanted, awaited=awaited)


def test_without_a_row_one_is_inserted() -> None:
    assert decide(None, own_claim_id="ours", is_live=False) == Insert()


def test_a_row_without_credentials_and_without_a_claim_is_taken() -> None:
    assert isinstance(decided({}), Take)


def test_the_holder_of_the_claim_creates() -> None:
    assert isinstance(decided(claim("ours")), Create)
    assert isinstance(decided(KEY | claim("ours", "recreate")), Create)


def test_credentials_are_used() -> None:
    assert decided(KEY) == Use(row(KEY))


@pytest.mark.parametrize("settings", [{}, KEY])
@pytest.mark.parametrize("doing", ["create", "recreate", "disconnect"])
def test_a_live_claim_is_waited_for(settings: dict[str, Any], doing: Any) -> None:
    claimed = settings | claim(doing=doing)
    assert decided(claimed) == Wait(row(claimed), Claim("theirs", 1, doing))


@pytest.mark.parametrize("doing", ["start", "restart"])
def test_nobody_waits_for_a_start_of_a_session_whose_credentials_are_there(doing: str) -> None:
    settings = KEY | claim(doing=doing)
    assert decided(settings) == Use(row(settings))
    assert isinstance(decided(claim(doing=doing)), Wait)


def test_whoever_replaces_credentials_waits_also_for_a_start_with_them() -> None:
    unwanted = record_of(row(KEY)).generation
    assert isinstance(decided(KEY | claim(doing="start"), unwanted=unwanted), Wait)


def test_a_dead_claim_is_taken_over_unless_the_credentials_are_there() -> None:
    assert isinstance(decided(claim(), is_live=False), Take)
    assert isinstance(decided(KEY | claim(), is_live=False), Use)


def test_unwanted_credentials_are_replaced_once() -> None:
    unwanted = record_of(row(KEY)).generation
    assert isinstance(decided(KEY, unwanted=unwanted), Take)
    assert isinstance(decided(KEY | {"wppApiKeyIssuedAt": 2}, unwanted=unwanted), Use)


def test_a_refusal_is_shared_only_with_those_who_waited_for_that_very_claim() -> None:
    assert decided(FAILED, awaited="theirs") == Fail(Failure("theirs", "platform_refused", "no"))
    assert isinstance(decided(FAILED, awaited="another"), Take)
    assert isinstance(decided(FAILED), Take)
    assert isinstance(decided(KEY | FAILED, awaited="theirs"), Use)
    unwanted = record_of(row(KEY)).generation
    assert isinstance(decided(KEY | FAILED, awaited="theirs", unwanted=unwanted), Fail)


UNPAIRED = KEY | {"wppPaired": False, "wppStartedAt": 1_000_000}


@pytest.mark.parametrize(
    ("settings", "due_at"),
    [
        (UNPAIRED, 1090),
        (UNPAIRED | {"wppRestarts": 1}, 1180),
        (UNPAIRED | {"wppRestarts": 3}, 1720),
        (KEY | {"wppPaired": False, "wppApiKeyIssuedAt": 5_000}, 95),  # `create` started it
    ],
)
def test_a_restart_is_due_after_a_while_and_after_twice_as_long_each_time(
    settings: dict[str, Any], due_at: float
) -> None:
    record = record_of(row(settings))
    assert [restart_is_due(record, due_at + seconds, 90.0) for seconds in (-1, 0, 1e6)] == [False, True, True]


@pytest.mark.parametrize("kept", [{"wppPaired": True}, {"wppPaired": None}, {"wppPaired": 0}, {"wppQrShown": True}])
def test_a_restart_is_never_due_if_a_phone_may_be_linked(kept: dict[str, Any]) -> None:
    assert restart_is_due(record_of(row(UNPAIRED)), 1e9, 90.0)
    assert not restart_is_due(record_of(row(UNPAIRED | kept)), 1e9, 90.0)
    assert not restart_is_due(record_of(row(KEY | {"wppStartedAt": 1_000_000})), 1e9, 90.0)


def test_a_restart_was_in_vain_once_it_had_the_time_of_a_start() -> None:
    restarted = record_of(row(UNPAIRED | {"wppRestarts": 3}))
    assert [restart_was_in_vain(restarted, now, 90.0) for now in (1089.0, 1090.0)] == [False, True]
    assert not restart_was_in_vain(record_of(row(UNPAIRED)), 1e9, 90.0)
