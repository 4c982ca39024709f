"""Changed code: what serves was tried, whatever is saved at the same moment."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
import requests

from tests.deploy.servers import wait_for
from tests.emulator.reload import Code
from tests.processes import ROOT, free_port, server_process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HELLO = "def hello(request):\n    return {'said': 'one'}\n"


@pytest.fixture
def code(tmp_path: Path) -> Iterator[Code]:
    (tmp_path / "functions/hello").mkdir(parents=True)
    (tmp_path / "functions/hello/main.py").write_text(HELLO)
    (tmp_path / "functions/gone").symlink_to("nowhere")
    shutil.copytree(ROOT / "shared/wpp", tmp_path / "wpp", ignore=shutil.ignore_patterns("__pycache__"))
    with Code(tmp_path / "functions", tmp_path / "wpp") as code:
        yield code


def test_a_save_between_trial_and_loading_is_not_loaded(code: Code) -> None:
    hello, errors = code.sources["functions"] / "hello/main.py", code.sources["shared/wpp"] / "errors.py"
    code.serve(code.copied())
    port = free_port()
    with server_process(code.environment(), port, configuration=code.server_configuration) as server:
        server.wait_until_ready()

        def said() -> str:
            answer = requests.post(f"{server.url}/functions/v1/hello", timeout=5)
            return str(answer.json().get("said"))

        assert said() == "one"
        hello.write_text(HELLO.replace("one", "two"))
        copy = code.copied()
        assert code.problem(copy) is None
        hello.write_text("def hello(request:\n")
        errors.write_text("class WppError(Exception\n")
        code.serve(copy)
        server.reload()
        wait_for(lambda: said() == "two")
        assert not server.ended


@pytest.mark.parametrize(
    ("source", "name", "text", "expected"),
    [
        ("functions", "hello/main.py", "import wpp.errors\ndef hello(request:\n", ":2 SyntaxError: "),
        ("functions", "hello/main.py", "raise SystemExit(0)\n", ":1 SystemExit: 0"),
        ("functions", "hello/main.py", "", " has no function hello"),
        ("shared/wpp", "errors.py", "\n\n1 / 0\n", ":3 ZeroDivisionError: "),
    ],
)
def test_what_is_wrong_is_one_line_with_the_path_of_the_source(
    code: Code, source: str, name: str, text: str, expected: str
) -> None:
    path = code.sources[source] / name
    path.write_text(text)
    problem = code.problem(code.copied())
    assert problem is not None
    assert f"{path}{expected}" in problem
    assert "\n" not in problem


def test_only_the_newest_copies_are_kept(code: Code) -> None:
    copies = [code.copied() for _ in range(8)]
    assert [copy.exists() for copy in copies] == [False] * 3 + [True] * 5
