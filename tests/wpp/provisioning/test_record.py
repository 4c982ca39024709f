"""What our part of `settings` means, and that everything else in it stays."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from emulator.processes import ROOT
from wpp.platform.client import Credentials
from wpp.platform.token import AccessToken
from wpp.provisioning.record import Claim, Failure, Lost, Record, record_of
from wpp.supabase.rows import OUR_SETTINGS, Integration

CREDENTIALS = Credentials("key_0123456789", "client_1")
STORED = {"wppApiKey": "key_0123456789", "wppAccountNumber": "client_1", "wppApiKeyIssuedAt": 1_700_000_000_000}
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def record(settings: dict[str, Any]) -> Record:
    return Record("row", "organization", settings)


# Hypothesis may take its time: the machine may be busy.
@hypothesis_settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(OUR_SETTINGS) | st.text(), anything, max_size=12))
def test_any_settings_can_be_read_and_every_change_keeps_what_is_not_ours(settings: dict[str, Any]) -> None:
    found = record(settings)
    foreign = {name: value for name, value in settings.items() if name not in OUR_SETTINGS}
    _ = (found.credentials, found.token, found.platform_id, found.is_further_number, found.generation, found.is_keyed)
    _ = (found.was_paired, found.is_disconnected, found.qr_was_shown, found.restarts, found.lost, found.webhook_hash)
    _ = (
        found.idempotency_key,
        found.claim,
        found.failure,
        found.key_issued_at,
        found.started_at,
        found.webhook_pending,
    )
    changed = [
        found.claimed(Claim("id", 1, "create"), 1.0),
        found.released(),
        found.released(Failure("id", "code", "problem")),
        found.begun_with({"wppSubOrgId": "number"}),
        found.completed(CREDENTIALS, 1.0),
        found.with_token(AccessToken("token", 2.0, 1.0)),
        found.with_webhook(None),
        found.with_webhook("0123"),
        found.with_qr_shown(),
        found.with_restarts(3),
        found.paired(),
        found.disconnected(),
        found.connected_again(),
        found.with_lost(Lost(1.0, 2)),
        found.with_lost(None),
        found.with_start(1.0),
        found.with_start(None),
        found.with_requests({}),
    ]
    for after in changed:
        assert {n: after.settings[n] for n in after.settings if n not in OUR_SETTINGS} == foreign


def test_every_name_that_we_store_is_read_also_from_a_row_that_cannot_be_read_whole() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "shared/wpp/provisioning").glob("*.py"))
    assert set(re.findall(r'"(wpp[A-Z]\w+)"', sources)) == set(OUR_SETTINGS)


@pytest.mark.parametrize("settings", [None, [], [1], "text", 5, True, 1e300])
def test_settings_that_are_not_an_object_hold_nothing_of_ours(settings: Any) -> None:
    found = record_of(Integration("row", "organization", True, True, settings, "", None))
    assert (found.settings, found.credentials, found.claim) == ({}, None, None)


@pytest.mark.parametrize(
    "broken",
    [
        {"wppApiKey": ""},
        {"wppApiKey": 5},
        {"wppApiKey": "with\nline feed"},
        {"wppAccountNumber": None},
        {"wppAccountNumber": ".."},
        {"wppAccountNumber": "a/b"},
        {"wppAccountNumber": "x" * 5000},
    ],
)
def test_credentials_that_cannot_be_used_are_not_there(broken: dict[str, Any]) -> None:
    assert record(STORED).credentials == CREDENTIALS
    assert record(STORED | broken).credentials is None


def test_the_generation_changes_whenever_the_credentials_are_replaced_even_by_the_same_ones() -> None:
    generations = [
        record({}).generation,
        record(STORED).generation,
        record(STORED | {"wppApiKey": "key_other"}).generation,
        record(STORED | {"wppAccountNumber": "client_2"}).generation,
        record(STORED).completed(CREDENTIALS, 1_800_000_000).generation,
    ]
    assert generations[0] == ""
    assert len(set(generations)) == 5
    assert "key_0123456789" not in generations[1]


def test_the_idempotency_key_follows_from_the_row_and_the_generation_that_is_replaced() -> None:
    first = record({}).idempotency_key
    assert record({"theirs": 1}).idempotency_key == first
    assert Record("another row", "organization", {}).idempotency_key != first
    assert record(STORED).idempotency_key != first
    assert record(STORED).with_webhook(None).idempotency_key == record(STORED).idempotency_key


def test_an_idempotency_key_that_older_code_stored_is_used_until_the_creation_is_complete() -> None:
    found = record({"wppIdempotencyKey": "stored"})
    assert found.idempotency_key == "stored"
    assert found.claimed(Claim("id", 0, "create"), 1.0).released().idempotency_key == "stored"
    assert "wppIdempotencyKey" not in found.completed(CREDENTIALS, 1.0).settings


@pytest.mark.parametrize("key", ["", "line\nfeed", 5, None, ["x"]])
def test_a_stored_idempotency_key_that_no_header_can_carry_is_passed_over(key: Any) -> None:
    assert record({"wppIdempotencyKey": key}).idempotency_key == record({}).idempotency_key


def test_a_claim_is_written_with_what_older_code_looks_for_and_read_back() -> None:
    claim = Claim("id", 3, "recreate")
    claimed = record(STORED).claimed(claim, 12.5)
    assert claimed.claim == claim
    assert claimed.settings["wppClaim"]["expiresAt"] == 12_500
    assert claimed.settings["wppIdempotencyKey"] == record(STORED).idempotency_key


def test_a_claim_on_a_start_leaves_no_idempotency_key_behind() -> None:
    assert "wppIdempotencyKey" not in record(STORED).claimed(Claim("id", 3, "start"), 12.5).settings


def test_a_released_claim_leaves_a_failure_only_for_those_who_waited_for_it() -> None:
    claimed = record({}).claimed(Claim("id", 3, "create"), 1.0)
    assert claimed.released().claim is None
    assert claimed.released().failure is None
    failure = Failure("id", "platform_refused", "WPP Platform refused")
    assert claimed.released(failure).failure == failure
    assert claimed.released(failure).claim is None


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"wppClaim": {"id": "a", "beat": 1, "doing": "start"}}, Claim("a", 1, "start")),
        ({"wppClaim": {"id": "a", "beat": 1, "doing": "unheard of"}}, Claim("a", 1, "create")),
        ({"wppClaim": {"id": "a", "expiresAt": 5}}, Claim("a", None, "create")),
        ({"wppStart": {"id": "a", "expiresAt": 5}}, Claim("a", None, "start")),
        ({"wppClaim": {"id": "a", "beat": True, "expiresAt": 5}}, Claim("a", None, "create")),
        ({"wppClaim": {"id": 5, "beat": 1}}, None),
        ({"wppClaim": {"id": "a"}}, None),
        ({"wppClaim": {"id": "a", "expiresAt": "soon"}}, None),
        ({"wppClaim": {"id": "a", "expiresAt": 10**400}}, None),
        ({"wppClaim": "text"}, None),
    ],
)
def test_claims_of_this_and_of_older_code_are_told_from_what_is_not_one(
    settings: dict[str, Any], expected: Claim | None
) -> None:
    assert record(settings).claim == expected


def test_new_credentials_never_come_with_what_belonged_to_the_old_ones() -> None:
    before = record(STORED).with_token(AccessToken("old", 2.0, 1.0)).with_start(5.0)
    after = before.claimed(Claim("id", 0, "recreate"), 1.0).completed(Credentials("key_new", "client_2"), 7.0)
    assert after.credentials == Credentials("key_new", "client_2")
    assert (after.token, after.started_at, after.key_issued_at) == (None, None, 7.0)
    assert after.webhook_pending
    assert after.claim is not None


def test_a_further_number_is_known_by_its_own_id_at_the_platform() -> None:
    further = record({"wppSubOrgId": "organization__wpp__01234567"})
    assert further.platform_id == "organization__wpp__01234567"
    assert further.is_further_number
    assert not Record("row", "organization", further.settings, is_primary=True).is_further_number
    assert record({"wppSubOrgId": ""}).platform_id == "organization"
    assert not record({}).is_further_number


def test_a_new_session_was_never_paired_and_the_same_one_stays_what_it_was() -> None:
    same = Credentials("key_new", "client_1")
    for before in ({}, {"wppPaired": True}):
        assert record(STORED | before).was_paired
        assert record(STORED | before).completed(same, 1.0).was_paired
        assert not record(STORED | before).completed(Credentials("key_new", "client_2"), 1.0).was_paired
    assert not record(STORED | {"wppPaired": False}).completed(same, 1.0).was_paired
    assert not record({}).completed(same, 1.0).was_paired


def test_the_same_start_again_keeps_what_was_seen_of_the_session_since_then() -> None:
    started = record(STORED).with_start(1_700_000_000.123_456)
    seen = started.with_qr_shown()
    assert seen.with_start(1_700_000_000.123_456) == seen
    assert not seen.with_start(1_700_000_001.0).qr_was_shown
    assert seen.with_start(None).settings == STORED
