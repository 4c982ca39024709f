"""The check of a Supabase project: passes on the local stack, and finds other tables, relations, versions and keys."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from emulator.faults import Fault
from emulator.processes import ROOT
from emulator.supabase.app import DEMO_ORGANIZATION
from tests.support.supabase_check import CREDENTIALS, everything, outcomes, problems

if TYPE_CHECKING:
    from emulator.stack import Stack

pytestmark = pytest.mark.slow
OPENAPI = "rest.GET."
TABLE = "messenger_integrations"


def run(env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "shared"), **env}
    command = [sys.executable, "-m", "deploy.check_supabase"]
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False)


@pytest.mark.parametrize("trigger", [True, False])
def test_the_local_stack_passes_every_check_and_is_left_as_it_was(product: Stack, trigger: bool) -> None:
    product.supabase.database.updated_at_trigger = trigger
    product.supabase.auth.signing_key("ES256")
    product.supabase.insert_row(organization_id=DEMO_ORGANIZATION, is_primary=True, settings=CREDENTIALS)
    before = product.supabase.rows()
    done = run(product.environment() | everything(product))
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["holds"] * 12
    assert product.supabase.rows() == before
    assert not product.platform_server.received


def test_without_an_organization_for_tests_it_only_reads(product: Stack) -> None:
    found = outcomes(product, ACCESS_TOKEN=everything(product)["ACCESS_TOKEN"])
    assert not found["claim cycle"].was_checked
    assert {received.request.method for received in product.supabase_server.received} == {"GET"}


def test_each_finding_is_a_line_that_says_what_to_do_and_shows_no_credential(product: Stack) -> None:
    product.supabase.execute(f"alter table {TABLE} add column {CREDENTIALS['wppApiKey']} text not null")
    product.supabase.execute(f'alter table {TABLE} add column "two\nlines" text not null')
    env = product.environment() | {"SUPABASE_ANON_KEY": product.supabase.service_role_key}
    done = run(env)
    assert done.returncode == 1
    found = [line for line in done.stdout.splitlines() if line.startswith("FAILS")]
    assert len(found) == 3
    assert all(" -> " in line for line in found)
    assert CREDENTIALS["wppApiKey"] not in done.stdout
    assert product.supabase.service_role_key not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"SUPABASE_URL": ""}, "SUPABASE_URL is missing"),
        ({"SUPABASE_SERVICE_ROLE_KEY": ""}, "SUPABASE_SERVICE_ROLE_KEY is missing"),
        ({"SUPABASE_ANON_KEY": "", "ACCESS_TOKEN": "a.b.c"}, "ACCESS_TOKEN needs SUPABASE_ANON_KEY"),
        ({"ACCESS_TOKEN": "a\nb"}, "ACCESS_TOKEN has characters"),
        ({"ORGANIZATION_ID": "ours"}, "ORGANIZATION_ID must be a UUID"),
    ],
)
def test_a_wrong_environment_is_told_and_nothing_is_sent(product: Stack, changed: dict[str, str], problem: str) -> None:
    done = run(product.environment() | changed)
    assert (done.returncode, done.stdout) == (2, "")
    assert problem in done.stderr
    assert not product.supabase_server.received


def test_a_supabase_that_is_not_there_is_one_line(product: Stack) -> None:
    found = problems(product, SUPABASE_URL="http://127.0.0.1:1")
    assert found == {"service key": ["Supabase cannot be reached (auth.user)"]}


@pytest.mark.parametrize(
    ("ddl", "failing", "problem"),
    [
        (f"alter table {TABLE} drop column webhook_key", {"columns"}, "there is no column .*webhook_key"),
        (
            f"alter table {TABLE} alter settings drop default, alter settings type text",
            {"columns"},
            "settings is text, not jsonb",
        ),
        (f"alter table {TABLE} add school text not null", {"columns"}, "school is NOT NULL without a default"),
        (f"alter table {TABLE} alter created_at drop default", {"columns"}, "created_at is NOT NULL without a default"),
        (f"alter table {TABLE} drop constraint {TABLE}_pkey", {"columns"}, "id is not the primary key"),
        (
            f"create type kind as enum ('telegram'); alter table {TABLE} alter messenger_type type kind using 'telegram'::kind",
            {"columns", "relations"},
            "no value 'whatsapp'",
        ),
        (f"drop table {TABLE}", {"columns", "relations", "rows", "primary rows", "claims", "anybody"}, "sees no table"),
    ],
)
def test_other_tables_are_found(product: Stack, ddl: str, failing: set[str], problem: str) -> None:
    product.supabase.execute(ddl)
    found = problems(product)
    assert set(found) == failing
    (text,) = found["columns"]
    assert re.search(problem, text)


def test_text_may_be_of_any_length_or_an_enum_with_our_words(product: Stack) -> None:
    product.supabase.execute(f"alter table {TABLE} alter name type varchar(20)")
    product.supabase.execute("create type kind as enum ('telegram', 'whatsapp')")
    product.supabase.execute(f"alter table {TABLE} alter messenger_type type kind using 'telegram'::kind")
    assert problems(product, ORGANIZATION_ID=DEMO_ORGANIZATION) == {}


@pytest.mark.parametrize("table", ["profiles", TABLE])
def test_a_missing_foreign_key_is_named(product: Stack, table: str) -> None:
    product.supabase.execute(f"alter table {table} drop constraint {table}_organization_id_fkey")
    expected = f"{table} has no foreign key to organizations that PostgREST knows of (PGRST200)"
    assert problems(product) == {"relations": [expected]}


def test_several_relations_are_found(product: Stack) -> None:
    body = json.dumps({"code": "PGRST201", "message": "more than one relationship was found"}).encode()
    product.supabase_server.inject(Fault("rest.GET.profiles", status=300, body=body))
    (found,) = problems(product)["relations"]
    assert found.startswith("PostgREST finds several relations")


@pytest.mark.parametrize(
    ("headers", "version", "expected"),
    [
        ({"Server": "postgrest/12.2.3"}, "14.0", ["PostgREST 12.2.3 is older than 13"]),
        ({}, "12.2.3 (519615d)", ["PostgREST 12.2.3 is older than 13"]),
        ({"Server": "cloudflare"}, "13.0.8", []),
    ],
)
def test_an_old_postgrest_is_found(product: Stack, headers: dict[str, str], version: str, expected: list[str]) -> None:
    describe_as(product, version, headers)
    found = outcomes(product)["version"]
    assert found.was_checked
    assert [finding.problem.partition(",")[0] for finding in found.findings] == expected


def test_a_version_that_nothing_names_is_not_checked(product: Stack) -> None:
    describe_as(product, "", {})
    found = outcomes(product)["version"]
    assert (found.findings, found.was_checked) == ((), False)


def describe_as(product: Stack, version: str, headers: dict[str, str]) -> None:
    body = json.dumps({"info": {"version": version}, "definitions": {}}).encode()
    product.supabase_server.inject(Fault(OPENAPI, status=200, body=body, headers=headers))


def test_a_postgrest_that_does_not_describe_its_tables_is_found(product: Stack) -> None:
    body = b'{"code":"PGRST126","message":"Root endpoint metadata is disabled"}'
    product.supabase_server.inject(Fault(OPENAPI, status=404, body=body, times=None))
    expected = ["Supabase refused with status 404 (rest.openapi)"]
    assert problems(product) == {"version": expected, "columns": expected}
