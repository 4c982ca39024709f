"""What the README and its neighbours say of the code: tables, errors, versions, links."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from emulator.processes import ROOT
from emulator.stack import Stack
from emulator.supabase.app import DEMO_EMAIL, DEMO_ORGANIZATION
from tests.support.supabase_check import CREDENTIALS, everything, outcomes
from wpp import errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = sorted(path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
CONTRACT = (ROOT / "functions/openapi.yaml").read_text(encoding="utf-8")
# Answered by the server, for a function that it cannot import.
OF_THE_SERVER = {"function_broken": (500, False)}


def classes(root: type[errors.WppError]) -> Iterator[type[errors.WppError]]:
    yield root
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from classes(child)


def codes_of(kind: type[errors.WppError]) -> list[str]:
    """None of a class that is never raised itself, or takes its code from another error."""
    if kind in (errors.CallerError, errors.UpstreamError, errors.HolderRefused):
        return []
    if not issubclass(kind, errors.UpstreamError):
        return [kind.code]
    # AWS refuses nothing with a code of its own: that is a configuration to mend.
    systems = [name for name in errors.SYSTEM_NAMES if (name, kind.suffix) != ("aws", "refused")]
    return [f"{name}_{kind.suffix}" for name in systems]


def test_the_table_of_errors_has_every_code_with_its_status_and_whether_a_retry_helps() -> None:
    table = README.partition("\n### Errors\n")[2].partition("\n## ")[0]
    told: dict[str, tuple[int, bool]] = {}
    for status, codes, retry in re.findall(r"^\| (\d{3}) \| (.+?) \| (yes|no) \|", table, re.MULTILINE):
        told |= {code: (int(status), retry == "yes") for code in re.findall(r"`(\w+)`", codes)}
    known = {code: (kind.status, kind.retryable) for kind in classes(errors.WppError) for code in codes_of(kind)}
    assert told == known | OF_THE_SERVER


def test_the_contract_knows_the_same_codes() -> None:
    known = {code for kind in classes(errors.WppError) for code in codes_of(kind)} | OF_THE_SERVER.keys()
    assert set(_codes(yaml.safe_load(CONTRACT))) == known


def _codes(node: Any) -> Iterator[str]:
    """Of every schema that says which codes there are."""
    if isinstance(node, list):
        for item in node:
            yield from _codes(item)
    elif isinstance(node, dict):
        for name, value in node.items():
            if (name == "code" or name.endswith("Code")) and isinstance(value, dict):
                yield from value.get("enum", [])
                yield from [value["const"]] if "const" in value else []
            yield from _codes(value)


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
