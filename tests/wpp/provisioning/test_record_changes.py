"""Each change of a record, with the whole of its settings before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from wpp.errors import RowUnreadable
from wpp.http.exact_json import Verbatim
from wpp.platform.client import Credentials
from wpp.platform.token import AccessToken
from wpp.provisioning.record import Claim, Failure, Lost, Record, record_of, writable_record_of
from wpp.provisioning.settings_values import object_in, seconds, whole
from wpp.supabase.rows import Integration

if TYPE_CHECKING:
    from collections.abc import Callable

KEYS = {"wppApiKey": "key_0123456789", "wppAccountNumber": "client_1", "wppApiKeyIssuedAt": 1_700_000_000_000}
KEY = "b73d47ec-69ba-542c-98b1-ea63eaf330b6"
CLAIM, START = {"id": "a", "beat": 1, "doing": "create"}, {"id": "b", "expiresAt": 1}
NEW = Credentials("key_new", "client_1")
STARTED = {"wppStartedAt": 5, "wppQrShown": True}
TOKEN = {"wppJwtToken": "token", "wppJwtExpiresAt": 5}


def changed(before: dict[str, Any], change: Callable[[Record], Record]) -> dict[str, Any]:
    found = Record("row", "organization", {"theirs": 1, **before}, is_primary=True)
    after = change(found)
    assert (after.row_id, after.organization_id, after.is_primary) == ("row", "organization", True)
    assert after.settings["theirs"] == 1
    return {name: value for name, value in after.settings.items() if name != "theirs"}


@pytest.mark.parametrize(
    ("before", "change", "after"),
    [
        (
            {**KEYS, "wppStart": START},
            lambda record: record.claimed(Claim("c", 2, "recreate"), 12.5),
            {**KEYS, "wppClaim": {"id": "c", "beat": 2, "doing": "recreate", "expiresAt": 12_500},
             "wppIdempotencyKey": KEY},
        ),
        (
            {**KEYS, "wppClaim": CLAIM},
            lambda record: record.claimed(Claim("c", 2, "start"), 12.5),
            {**KEYS, "wppClaim": {"id": "c", "beat": 2, "doing": "start", "expiresAt": 12_500}},
        ),
        ({"wppClaim": CLAIM, "wppStart": START}, lambda record: record.released(), {}),
        (
            {"wppSubOrgId": "kept", "wppKeyedBy": 5},
            lambda record: record.begun_with({"wppSubOrgId": "first", "wppKeyedBy": "key", "wppPaired": "p"}),
            {"wppSubOrgId": "kept", "wppKeyedBy": "key", "wppPaired": "p"},
        ),
        (
            {"wppClaim": CLAIM, "wppStart": START},
            lambda record: record.released(Failure("a", "platform_refused", "no")),
            {"wppClaim": {"failed": "a", "code": "platform_refused", "problem": "no"}},
        ),
        (
            {**KEYS, **STARTED, **TOKEN, "wppIdempotencyKey": "k", "wppWebhookHash": "h", "wppRestarts": 1,
             "wppDisconnected": True, "wppClaim": CLAIM},
            lambda record: record.completed(NEW, 12.5),
            {"wppApiKey": "key_new", "wppAccountNumber": "client_1", "wppApiKeyIssuedAt": 12_500,
             "wppPaired": True, "wppWebhookPending": True, "wppClaim": CLAIM},
        ),
        (
            {},
            lambda record: record.completed(NEW, 12.5),
            {"wppApiKey": "key_new", "wppAccountNumber": "client_1", "wppApiKeyIssuedAt": 12_500,
             "wppPaired": False, "wppWebhookPending": True},
        ),
        (
            TOKEN,
            lambda record: record.with_token(AccessToken("other", 12.5, 1.0)),
            {"wppJwtToken": "other", "wppJwtExpiresAt": 12_500},
        ),
        ({"wppWebhookHash": "h"}, lambda record: record.with_webhook(None),
         {"wppWebhookHash": "h", "wppWebhookPending": True}),
        ({"wppWebhookHash": "h", "wppWebhookPending": True}, lambda record: record.with_webhook("i"),
         {"wppWebhookHash": "i"}),
        (STARTED, lambda record: record.with_start(0.0125), {"wppStartedAt": 12}),
        (STARTED, lambda record: record.with_start(0.005), STARTED),
        (STARTED, lambda record: record.with_start(None), {}),
        ({}, lambda record: record.with_qr_shown(), {"wppQrShown": True}),
        ({"wppRestarts": 1}, lambda record: record.with_restarts(2), {"wppRestarts": 2}),
        ({"wppRestarts": 1}, lambda record: record.with_restarts(0), {}),
        ({}, lambda record: record.with_restarts(0), {}),
        ({"wppPaired": False}, lambda record: record.paired(), {"wppPaired": True}),
        (
            {**KEYS, **STARTED, "wppRestarts": 1},
            lambda record: record.disconnected(),
            {**KEYS, "wppDisconnected": True},
        ),
        ({**KEYS, "wppDisconnected": True}, lambda record: record.connected_again(), KEYS),
        ({"wppLost": 5}, lambda record: record.with_lost(Lost(12.5, 2)), {"wppLost": {"at": 12_500, "times": 2}}),
        ({"wppLost": 5}, lambda record: record.with_lost(None), {}),
        ({"wppRequests": 5}, lambda record: record.with_requests({"a": 1}), {"wppRequests": {"a": 1}}),
    ],
)  # fmt: skip
def test_a_change(before: dict[str, Any], change: Callable[[Record], Record], after: dict[str, Any]) -> None:
    assert changed(before, change) == after


@pytest.mark.parametrize(
    ("stored", "read", "expected"),
    [
        ({}, lambda record: record.token, None),
        (TOKEN, lambda record: record.token and record.token.text, "token"),
        ({**TOKEN, "wppJwtExpiresAt": 12_500}, lambda record: record.token and record.token.expires_at, 12.5),
        ({"wppSubOrgId": "its own"}, lambda record: record.platform_id, "its own"),
        ({"wppSubOrgId": 5}, lambda record: record.platform_id, "organization"),
        ({"wppKeyedBy": None}, lambda record: record.is_keyed, True),
        ({}, lambda record: record.is_keyed, False),
        ({"wppApiKeyIssuedAt": 12_500}, lambda record: record.key_issued_at, 12.5),
        ({"wppStartedAt": 12_500}, lambda record: record.started_at, 12.5),
        ({}, lambda record: record.started_at, None),
        ({"wppWebhookPending": True}, lambda record: record.webhook_pending, True),
        ({"wppWebhookPending": 1}, lambda record: record.webhook_pending, False),
        ({"wppWebhookHash": "h"}, lambda record: record.webhook_hash, "h"),
        ({"wppWebhookHash": 5}, lambda record: record.webhook_hash, None),
        (KEYS, lambda record: record.was_paired, True),
        ({**KEYS, "wppPaired": False}, lambda record: record.was_paired, False),
        ({"wppPaired": True}, lambda record: record.was_paired, False),
        ({"wppDisconnected": True}, lambda record: record.is_disconnected, True),
        ({"wppDisconnected": 1}, lambda record: record.is_disconnected, False),
        ({"wppQrShown": True}, lambda record: record.qr_was_shown, True),
        ({"wppQrShown": 1}, lambda record: record.qr_was_shown, False),
        ({}, lambda record: record.restarts, 0),
        ({"wppRestarts": "1"}, lambda record: record.restarts, 0),
        ({"wppRestarts": -1}, lambda record: record.restarts, 0),
        ({"wppRestarts": 30}, lambda record: record.restarts, 30),
        ({"wppRestarts": 31}, lambda record: record.restarts, 30),
        ({}, lambda record: record.lost, None),
        ({"wppLost": {"at": "5", "times": 1}}, lambda record: record.lost, None),
        ({"wppLost": {"at": 12_500, "times": 2}}, lambda record: record.lost, Lost(12.5, 2)),
        ({"wppLost": {"at": 12_500}}, lambda record: record.lost, Lost(12.5, 1)),
        ({"wppLost": {"at": 12_500, "times": -1}}, lambda record: record.lost, Lost(12.5, 1)),
        ({"wppLost": {"at": 12_500, "times": 31}}, lambda record: record.lost, Lost(12.5, 30)),
        ({"wppClaim": {"failed": "a", "code": "supabase_refused", "problem": "no"}}, lambda record: record.failure,
         Failure("a", "supabase_refused", "no")),
        ({"wppClaim": {"failed": "a", "code": "of others", "problem": 5}}, lambda record: record.failure,
         Failure("a", "platform_refused", "5")),
        ({"wppClaim": {"failed": 5}}, lambda record: record.failure, None),
        ({"wppClaim": CLAIM}, lambda record: record.failure, None),
        ({"wppClaim": {"id": "a", "beat": 1, "doing": "disconnect"}}, lambda record: record.claim.is_start, False),
        ({"wppClaim": {"id": "a", "beat": 1, "doing": "restart"}}, lambda record: record.claim.is_start, True),
        ({"wppClaim": 5, "wppStart": {"id": "a", "beat": 1}}, lambda record: record.claim, Claim("a", 1, "start")),
        ({"wppStart": {"id": "a", "beat": 1}}, lambda record: record.claim.is_start, True),
    ],
)  # fmt: skip
def test_what_a_setting_means(stored: dict[str, Any], read: Callable[[Record], Any], expected: Any) -> None:
    assert read(Record("row", "organization", stored)) == expected


def test_records_are_equal_with_the_same_row_and_settings() -> None:
    record = Record("row", "organization", {"a": 1})
    assert record == Record("row", "another", {"a": 1}, is_primary=True)
    assert record != Record("another", "organization", {"a": 1})
    assert record != Record("row", "organization", {"a": 2})
    assert record != "row"


@pytest.mark.parametrize("settings", [None, {}, {"a": 1}, '{"a": 1}', "", 0, False, []])
def test_a_row_can_be_written_where_that_overwrites_nothing_of_value(settings: Any) -> None:
    row = Integration("row", "organization", True, True, settings, "1", None)
    found = writable_record_of(row)
    assert (found.row_id, found.organization_id, found.is_primary) == ("row", "organization", True)
    assert found.settings == record_of(row).settings == (object_in(settings) or {})


@pytest.mark.parametrize("settings", [[1], 5, "text", True, '"text"', '{"a": "\\u0000"}'])
def test_a_row_whose_settings_are_something_else_is_not_written(settings: Any) -> None:
    text = "^settings of row row in messenger_integrations is not a JSON object: correct it or clear it$"
    with pytest.raises(RowUnreadable, match=text):
        writable_record_of(Integration("row", "organization", True, True, settings, "1", None))


# Single values


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"a": 1}, {"a": 1}),
        ('{"a": "\\u00e4\\u20ac"}', {"a": "ä€"}),
        ('{"a": 1.10}', {"a": Verbatim("1.10")}),
        ("[1]", None),
        ("{", None),
        ("[" * 100_000, None),
        ('{"a": "\\u0000"}', None),
        ('{"a": "\\ud800"}', None),
        ('{"\\ud800": 1}', None),
        (None, None),
    ],
)
def test_settings_are_an_object_also_if_they_were_encoded_twice(settings: Any, expected: Any) -> None:
    assert object_in(settings) == expected


@pytest.mark.parametrize(("value", "expected"), [(5, 5), (True, None), (5.0, None), ("5", None), (None, None)])
def test_a_whole_number_is_an_integer(value: Any, expected: int | None) -> None:
    assert whole(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1500, 1.5),
        (1.5, 0.0015),
        (-1500, -1.5),
        (2**53 - 1, (2**53 - 1) / 1000),
        (2**53, None),
        (-(2**53), None),
        (10**400, None),
        (float("nan"), None),
        (True, None),
        ("1500", None),
        (None, None),
    ],
)
def test_a_time_is_a_number_of_milliseconds_that_can_be_one(value: Any, expected: float | None) -> None:
    assert seconds(value) == expected
