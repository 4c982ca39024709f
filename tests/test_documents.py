"""What the README and its neighbours say: the tables, the version, links and targets. Its table of errors is tested with the
description, its examples in tests/client."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

import pytest
import yaml

from emulator.processes import ROOT
from emulator.stack import Stack
from emulator.supabase.app import DEMO_EMAIL, DEMO_ORGANIZATION
from tests.support.supabase_check import CREDENTIALS, everything, outcomes

if TYPE_CHECKING:
    from pathlib import Path

README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = sorted(path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
CONTRACT = (ROOT / "functions/openapi.yaml").read_text(encoding="utf-8")


def test_there_is_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    newest = re.search(r"^## (\d\S+) - ", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest is not None
    assert (project, newest[1]) == (yaml.safe_load(CONTRACT)["info"]["version"],) * 2


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_a_document_links_to_is_there(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        name, _, anchor = target.partition("#")
        path = (ROOT / document).parent / name if name else ROOT / document
        assert path.exists(), target
        if anchor:
            assert anchor in _anchors(path), target


def _anchors(path: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_target_that_a_document_names_is_one(document: str) -> None:
    named = re.findall(r"(?:`|^\s*)make ([a-z-]+)", (ROOT / document).read_text(encoding="utf-8"), re.MULTILINE)
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(named) <= set(targets)


def test_the_tables_of_the_readme_are_all_that_the_functions_need() -> None:
    schema = re.search(r"```sql\n(.+?)```", README, re.DOTALL)
    assert schema is not None
    with Stack(schema=schema[1]) as stack:
        stack.supabase.add_user(DEMO_EMAIL, organization_id=DEMO_ORGANIZATION)
        stack.supabase.insert_row(organization_id=DEMO_ORGANIZATION, is_primary=True, settings=CREDENTIALS)
        found = outcomes(stack, **everything(stack))
        assert {name: outcome for name, outcome in found.items() if outcome.findings or not outcome.was_checked} == {}
