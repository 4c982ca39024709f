"""The check of a Supabase project: a whole claim cycle on a row of its own, which is deleted whatever happens."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from emulator.faults import Fault
from emulator.supabase.app import DEMO_ORGANIZATION
from tests.support.supabase_check import CREDENTIALS, problems

if TYPE_CHECKING:
    from emulator.stack import Stack

pytestmark = pytest.mark.slow
TABLE = "messenger_integrations"
POST, PATCH, DELETE = (f"rest.{method}.{TABLE}" for method in ("POST", "PATCH", "DELETE"))
TRIGGER = f"""create function changed() returns trigger language plpgsql as $$ begin {{}} end $$;
create trigger changed before {{}} on {TABLE} for each row execute function changed()"""


def cycle_problems(product: Stack) -> list[str]:
    found = problems(product, ORGANIZATION_ID=DEMO_ORGANIZATION)
    assert set(found) == {"claim cycle"}
    return found["claim cycle"]


@pytest.mark.parametrize(
    ("body", "event", "problem"),
    [
        ("return null;", "update", "accepts a change of row .* and does not carry it out"),
        ("new.updated_at = old.updated_at; return new;", "update", "a change leaves updated_at as it was"),
        ("new.settings = '{}'; return new;", "update", "accepts a change of row .* and does not carry it out"),
        ("return null;", "delete", "is still there after it was deleted"),
        ("raise exception 'no';", "delete", "it is not certain that row .* is gone"),
        ("raise exception 'no';", "insert", "refused with status 400: P0001"),
    ],
)
def test_triggers_that_the_functions_cannot_work_with_are_found(
    product: Stack, body: str, event: str, problem: str
) -> None:
    product.supabase.execute(TRIGGER.format(body, event))
    (found,) = cycle_problems(product)
    assert re.search(problem, found)
    left = [row["id"] for row in product.supabase.rows()]
    assert bool(left) == (event == "delete")
    assert all(row_id in found for row_id in left)


def test_a_unique_index_that_allows_one_number_is_found(product: Stack) -> None:
    product.supabase.execute(f"create unique index one_number on {TABLE} (organization_id, messenger_type, provider)")
    assert problems(product, ORGANIZATION_ID=DEMO_ORGANIZATION) == {}
    row = product.supabase.insert_row(organization_id=DEMO_ORGANIZATION, settings=CREDENTIALS)
    (found,) = cycle_problems(product)
    assert "forbids a further row" in found
    assert product.supabase.rows() == [row]


def test_a_second_insert_that_is_not_ignored_is_found(product: Stack) -> None:
    row = product.supabase.insert_row(organization_id=DEMO_ORGANIZATION)
    product.supabase_server.inject(Fault(POST, status=201, body=json.dumps([row]).encode(), skip=1))
    (found,) = cycle_problems(product)
    assert "the same row was inserted twice" in found


@pytest.mark.parametrize(("skip", "what"), [(1, "an outdated updated_at"), (2, "another claim's id")])
def test_a_condition_that_is_not_kept_is_found(product: Stack, skip: int, what: str) -> None:
    product.supabase_server.inject(Fault(PATCH, status=200, body=b'[{"id": "any"}]', skip=skip))
    (found,) = cycle_problems(product)
    assert f"a change with {what} was carried out" in found


@pytest.mark.parametrize(
    "fault",
    [
        Fault(POST, "reset", after_effect=True),
        Fault(POST, status=500, skip=1, times=None),
        Fault(PATCH, status=500, times=None),
        Fault(PATCH, "reset", skip=1, times=None, after_effect=True),
        Fault(DELETE, "reset", times=2),
    ],
)
def test_the_row_is_deleted_whatever_fails_half_way(product: Stack, fault: Fault) -> None:
    row = product.supabase.insert_row(organization_id=DEMO_ORGANIZATION, settings=CREDENTIALS)
    product.supabase_server.inject(fault)
    found = problems(product, ORGANIZATION_ID=DEMO_ORGANIZATION)
    assert set(found) == ({"claim cycle"} if fault.call != DELETE else set())
    assert product.supabase.rows() == [row]
    assert product.supabase_server.count(DELETE) >= 1


def test_a_row_that_cannot_be_deleted_is_named(product: Stack) -> None:
    product.supabase_server.inject(Fault(DELETE, status=403, body=b'{"code": "42501"}'))
    (found,) = cycle_problems(product)
    (row,) = product.supabase.rows()
    assert row["id"] in found
    assert row["name"] == "make check-supabase"
    assert (row["is_active"], row["is_primary"]) == (False, False)


def test_an_organization_that_does_not_exist_is_told(product: Stack) -> None:
    found = problems(product, ORGANIZATION_ID="33333333-3333-4333-8333-333333333333")
    assert found == {"claim cycle": ["ORGANIZATION_ID names no organization"]}
