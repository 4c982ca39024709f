"""The check of a Supabase project: a member, or anybody, who can read the credentials in the table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from emulator.supabase.app import DEMO_EMAIL, DEMO_ORGANIZATION
from tests.support.supabase_check import CREDENTIALS, outcomes, problems

if TYPE_CHECKING:
    from emulator.stack import Stack

pytestmark = pytest.mark.slow
TABLE = "messenger_integrations"
TOKEN = {"wppJwtToken": "a.b.c", "wppJwtExpiresAt": 1700000000000}
TO_MEMBERS = f"""grant select on {TABLE} to authenticated;
create policy "members" on {TABLE} for select to authenticated
  using (organization_id in (select organization_id from profiles))"""
TO_ALL = f"grant select on {TABLE} to anon; alter table {TABLE} disable row level security"


def member_problems(product: Stack) -> dict[str, list[str]]:
    return problems(product, ACCESS_TOKEN=product.supabase.sign_in(DEMO_EMAIL))


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({**CREDENTIALS, **TOKEN}, "wppApiKey and wppJwtToken"),
        (CREDENTIALS, "wppApiKey"),
        (TOKEN, "wppJwtToken"),
        ({}, "settings"),  # where the credentials will be
    ],
)
def test_a_member_who_can_read_credentials_is_found(product: Stack, settings: dict[str, Any], names: str) -> None:
    product.supabase.execute(TO_MEMBERS)
    product.supabase.insert_row(organization_id=DEMO_ORGANIZATION, settings=settings)
    expected = f"a member can read {names} in {TABLE}, where the credentials are"
    assert member_problems(product) == {"member": [expected]}


@pytest.mark.parametrize(
    "ddl",
    [
        f"grant select on {TABLE} to authenticated",  # row-level security shows no row
        f"{TO_MEMBERS}; revoke select on {TABLE} from authenticated; grant select (id, provider) on {TABLE} to authenticated",
    ],
)
def test_a_member_who_cannot_read_credentials_is_all_right(product: Stack, ddl: str) -> None:
    product.supabase.execute(ddl)
    product.supabase.insert_row(organization_id=DEMO_ORGANIZATION, settings=CREDENTIALS)
    token = product.supabase.sign_in(DEMO_EMAIL)
    found = outcomes(product, ACCESS_TOKEN=token)["member"]
    assert (found.findings, found.was_checked) == ((), True)


def test_without_a_row_policies_prove_nothing(product: Stack) -> None:
    product.supabase.execute(f"{TO_MEMBERS}; {TO_ALL}")
    found = outcomes(product, ACCESS_TOKEN=product.supabase.sign_in(DEMO_EMAIL))
    assert not found["member"].was_checked
    assert not found["anybody"].was_checked


def test_anybody_who_can_read_credentials_is_found(product: Stack) -> None:
    product.supabase.execute(TO_ALL)
    product.supabase.insert_row(organization_id=DEMO_ORGANIZATION, settings=CREDENTIALS)
    expected = f"anybody with the anon key can read wppApiKey in {TABLE}, where the credentials are"
    assert problems(product) == {"anybody": [expected]}


def test_no_credential_is_sent_to_the_check_for_this(product: Stack) -> None:
    product.supabase.execute(TO_MEMBERS)
    product.supabase.insert_row(organization_id=DEMO_ORGANIZATION, settings=CREDENTIALS)
    token = product.supabase.sign_in(DEMO_EMAIL)
    outcomes(product, ACCESS_TOKEN=token)
    received = product.supabase_server.received
    answers = [r.answer for r in received if r.request.headers.get("authorization") == f"Bearer {token}"]
    assert answers
    assert not [answer for answer in answers if CREDENTIALS["wppApiKey"].encode() in answer]


def test_a_token_that_is_not_a_members_is_found(product: Stack) -> None:
    auth = product.supabase.auth
    user_id = product.supabase.add_user("member@example.com")
    tokens = {
        "is not the token of a user": [
            product.supabase.service_role_key,
            "text",
            auth.sign(auth.claims(user_id, sub="7")),
            auth.sign(auth.claims(user_id, role="service_role")),
        ],
        "does not accept ACCESS_TOKEN": [
            auth.sign(auth.claims(user_id, exp=1700000000)),
            auth.sign(auth.claims(user_id))[:-4] + "AAAA",
        ],
    }
    for problem, given in tokens.items():
        for token in given:
            (found,) = problems(product, ACCESS_TOKEN=token)["member"]
            assert problem in found
