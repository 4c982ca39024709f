"""A further function, added to a copy of the tree step by step as the README says: each step that is missing is named."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from deploy import bundle
from emulator.processes import ROOT
from tests.inventory import missing

if TYPE_CHECKING:
    from pathlib import Path

ENTRY = "    wpp-toy: {slowMilliseconds: 5000}\n"
PATH = "  /wpp-toy: {post: {}, get: {}, head: {}, options: {}}\n"
TAG = "  - name: wpp-toy\n"
ROW = "| `wpp-toy` | `{}` |\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "functions", tmp_path / "functions", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("serverless.yml", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def add_folder(tree: Path, change: tuple[str, str] = ("", "")) -> None:
    source = (tree / "functions/wpp_create/main.py").read_text()
    source = source.replace("wpp_create", "wpp_toy").replace("wpp-create", "wpp-toy")
    (tree / "functions/wpp_toy").mkdir()
    (tree / "functions/wpp_toy/main.py").write_text(source.replace(*change))


def add(path: Path, after: str, text: str) -> None:
    before, found, rest = path.read_text().partition(after)
    assert found
    path.write_text(before + found + text + rest)


def new_lines(tree: Path) -> list[str]:
    """What is missing because of the test, and not in the project anyway."""
    anyway = missing(ROOT)
    return [line for line in missing(tree) if line not in anyway]


def describe(tree: Path) -> None:
    add(tree / "functions/openapi.yaml", "\npaths:\n", PATH)
    add(tree / "functions/openapi.yaml", "\ntags:\n", TAG)
    add(tree / "README.md", "\n## Calls\n", ROW)


def test_nothing_is_missing() -> None:
    assert missing(ROOT) == []


def test_a_function_needs_its_folder_one_entry_and_its_description(tree: Path) -> None:
    add_folder(tree)
    assert new_lines(tree) == [
        "serverless.yml: add `wpp-toy: {slowMilliseconds: 10000}` to custom.functions",
        "functions/openapi.yaml: describe get, head, options, post of the path /wpp-toy",
        "functions/openapi.yaml: add the tag wpp-toy",
        "README.md: add `wpp-toy` to the table under Calls",
    ]

    add(tree / "serverless.yml", "\n  functions:\n", ENTRY)
    describe(tree)
    assert new_lines(tree) == []


def test_what_is_left_of_a_function_that_is_gone_is_named(tree: Path) -> None:
    add(tree / "serverless.yml", "\n  functions:\n", ENTRY)
    describe(tree)
    assert new_lines(tree) == [
        "serverless.yml: remove wpp-toy from custom.functions, or add functions/wpp_toy/main.py",
        "functions/openapi.yaml: remove the path /wpp-toy, which no folder of functions/ serves",
    ]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (("def wpp_toy", "def wpp_create"), "add def wpp_toy(request), the target for functions-framework"),
        (("\nhandler = ", "\nhandle = "), "add handler = aws_lambda.handler(FUNCTION)"),
        (('"wpp-toy", _run', '"wpp-create", _run'), 'add FUNCTION = Function("wpp-toy", …)'),
        (("import masked", "import mask"), "cannot be imported: ImportError: cannot import name 'mask'"),
    ],
)
def test_what_a_folder_lacks_is_named(tree: Path, change: tuple[str, str], line: str) -> None:
    add_folder(tree, change)
    add(tree / "serverless.yml", "\n  functions:\n", ENTRY)
    describe(tree)
    (found,) = new_lines(tree)
    assert found.startswith(f"functions/wpp_toy/main.py: {line}")


def test_a_folder_that_would_not_be_deployed_is_named(tree: Path) -> None:
    (tree / "functions/wpp_create").rename(tree / "functions/wpp-create")
    assert new_lines(tree)[0] == "functions/wpp-create: rename the folder, like my_function"
    assert bundle.function_names(tree / "functions") == [n for n in bundle.function_names() if n != "wpp_create"]
