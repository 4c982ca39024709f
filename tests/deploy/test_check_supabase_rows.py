"""The check of a Supabase project: rows that the functions cannot read, two primary ones, dead claims."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from deploy.supabase_checks.fields import unreadable_fields
from emulator.supabase.app import DEMO_ORGANIZATION
from tests.support.supabase_check import CREDENTIALS, outcomes, problems

if TYPE_CHECKING:
    from emulator.stack import Stack

pytestmark = pytest.mark.slow
CLAIM = {"id": "c1", "beat": 3, "doing": "create"}
OLD_CLAIM = {"id": "c1", "expiresAt": 1700000000000}
ROW = "00000000-0000-4000-8000-000000000001"
MANY = """insert into messenger_integrations (id, organization_id, messenger_type, provider)
  select ('00000000-0000-4000-9000-' || lpad(n::text, 12, '0'))::uuid, %s, 'whatsapp', 'wpp'
  from generate_series(1, 120) n"""


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (["a"], "settings is a list, not an object"),
        ("text", "settings is text, not an object"),
        (7, "settings is a number, not an object"),
        (True, "settings is true or false, not an object"),
        ({"wppApiKey": "key_1"}, "wppApiKey is there without wppAccountNumber"),
        ({"wppAccountNumber": "client_1"}, "wppAccountNumber is there without wppApiKey"),
        ({**CREDENTIALS, "wppApiKey": 7}, "wppApiKey is not text that a header can carry"),
        ({**CREDENTIALS, "wppAccountNumber": "a/b"}, "wppAccountNumber is not a session's name"),
        ({"wppJwtToken": "a.b.c"}, "wppJwtToken and wppJwtExpiresAt are not a token and its time"),
        ({"wppJwtToken": "a.b.c", "wppJwtExpiresAt": "soon"}, "wppJwtToken and wppJwtExpiresAt are not"),
        ({"wppApiKeyIssuedAt": "2026-01-01"}, "wppApiKeyIssuedAt is not a time"),
        ({"wppStartedAt": 10**400}, "wppStartedAt is not a time"),
        ({"wppClaim": {"id": "c1"}}, "wppClaim is neither a claim"),
        ({"wppClaim": "c1"}, "wppClaim is neither a claim"),
        ({"wppStart": []}, "wppStart is neither a claim"),
        ({"wppSubOrgId": 7}, "wppSubOrgId is not text"),
        ({"wppWebhookPending": "yes"}, "wppWebhookPending is not true or false"),
        ({"wppRequests": []}, "wppRequests is not an object"),
        ({"wppIdempotencyKey": "a\nb"}, "wppIdempotencyKey is not text"),
    ],
)
def test_a_field_that_cannot_be_read_is_named(settings: Any, problem: str) -> None:
    (found,) = unreadable_fields(settings)
    assert problem in found


@pytest.mark.parametrize(
    "settings",
    [
        None,
        {},
        {"theme": ["not", "ours"], "wppApiKey": None, "wppAccountNumber": ""},
        {
            **CREDENTIALS,
            "wppJwtToken": "a.b.c",
            "wppJwtExpiresAt": 1700000000000,
            "wppApiKeyIssuedAt": 1700000000000.5,
            "wppStartedAt": 1700000000000,
            "wppClaim": CLAIM,
            "wppStart": OLD_CLAIM,
            "wppSubOrgId": "o__wpp__1",
            "wppWebhookPending": True,
            "wppRequests": {},
            "wppIdempotencyKey": "k",
        },
        {"wppClaim": {"failed": "c1", "code": "platform_refused", "problem": "…"}},
    ],
)
def test_what_the_functions_write_can_be_read(settings: Any) -> None:
    assert unreadable_fields(settings) == []


def test_a_row_that_cannot_be_read_is_named_without_its_values(product: Stack) -> None:
    settings = {"wppApiKey": "key_0123456789abcdef", "wppSubOrgId": ["private"]}
    product.supabase.insert_row(id=ROW, organization_id=DEMO_ORGANIZATION, settings=settings)
    found = problems(product)
    assert set(found) == {"rows"}
    assert len(found["rows"]) == 2
    for problem in found["rows"]:
        assert problem.startswith(f"row {ROW} of organization {DEMO_ORGANIZATION}: ")
        assert "private" not in problem
        assert "key_0" not in problem


def test_a_row_that_the_functions_do_not_see_is_found(product: Stack) -> None:
    product.supabase.insert_row(organization_id=DEMO_ORGANIZATION, messenger_type="WhatsApp")
    (problem,) = problems(product)["rows"]
    assert "messenger_type is not 'whatsapp'" in problem


def test_rows_of_other_providers_are_not_looked_at(product: Stack) -> None:
    product.supabase.insert_row(organization_id=DEMO_ORGANIZATION, provider="other", settings=["theirs"])
    assert problems(product) == {}


def test_all_rows_are_looked_at_also_beside_one_that_is_too_large(product: Stack) -> None:
    product.supabase.execute(MANY, DEMO_ORGANIZATION)
    large = """update messenger_integrations set settings = jsonb_build_object('note', repeat('x', 2000000))
      where id = '00000000-0000-4000-9000-000000000060'"""
    product.supabase.execute(large)
    product.supabase.execute("update messenger_integrations set settings = '7' where id::text like '%%0120'")
    found = outcomes(product)["rows"]
    assert found.summary == "the functions can read 120 rows"
    assert [finding.problem.partition(" of ")[0] for finding in found.findings] == [
        "row 00000000-0000-4000-9000-000000000060",
        "row 00000000-0000-4000-9000-000000000120",
    ]
    assert "larger than 1 MiB" in found.findings[0].problem


def test_two_primary_rows_of_one_organization_are_found(product: Stack) -> None:
    other = "22222222-2222-4222-8222-222222222222"
    product.supabase.add_user("other@example.com", organization_id=other)
    product.supabase.insert_row(organization_id=other, is_primary=True)
    product.supabase.insert_row(organization_id=DEMO_ORGANIZATION, is_primary=True, provider="other")
    product.supabase.insert_row(organization_id=DEMO_ORGANIZATION, is_primary=False)
    ids = [product.supabase.insert_row(organization_id=DEMO_ORGANIZATION, is_primary=True)["id"]]
    assert problems(product) == {}
    ids += [product.supabase.insert_row(organization_id=DEMO_ORGANIZATION, is_primary=True)["id"]]
    expected = f"organization {DEMO_ORGANIZATION} has 2 primary rows: {', '.join(sorted(ids))}"
    assert problems(product) == {"primary rows": [expected]}


@pytest.mark.parametrize(("claim", "seconds"), [(CLAIM, 7.0), (OLD_CLAIM, 41.0)])
def test_a_claim_that_does_not_change_while_it_is_watched_is_dead(
    product: Stack, claim: dict[str, Any], seconds: float
) -> None:
    product.supabase.insert_row(id=ROW, organization_id=DEMO_ORGANIZATION, settings={"wppClaim": claim})
    slept: list[float] = []
    found = problems(product, slept.append)
    assert found == {
        "claims": [f"row {ROW} of organization {DEMO_ORGANIZATION} has a claim that nobody holds any more"]
    }
    assert slept == [seconds]


def test_beside_a_claim_without_beats_all_are_watched_for_as_long_as_that_takes(product: Stack) -> None:
    for claim in (CLAIM, OLD_CLAIM):
        product.supabase.insert_row(organization_id=DEMO_ORGANIZATION, settings={"wppClaim": claim})
    assert len(problems(product)["claims"]) == 2


@pytest.mark.parametrize(
    "change",
    [
        """update messenger_integrations set settings = jsonb_set(settings, '{wppClaim,beat}', '4')""",
        """update messenger_integrations set settings = jsonb_set(settings, '{wppClaim,id}', '"c2"')""",
        "update messenger_integrations set settings = settings - 'wppClaim'",
        "delete from messenger_integrations",
    ],
)
def test_a_claim_whose_holder_is_at_work_is_all_right(product: Stack, change: str) -> None:
    product.supabase.insert_row(organization_id=DEMO_ORGANIZATION, settings={"wppClaim": CLAIM})
    assert problems(product, lambda _: product.supabase.execute(change)) == {}


def test_without_claims_nothing_is_waited_for(product: Stack) -> None:
    product.supabase.insert_row(organization_id=DEMO_ORGANIZATION, settings=CREDENTIALS)
    slept: list[float] = []
    assert problems(product, slept.append) == {}
    assert slept == []
