"""Changed code: what serves was tried, whatever is saved at the same moment."""

from __future__ import annotations

import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from emulator.code import Code
from emulator.processes import ROOT, free_port, server_process
from emulator.reloader import Reloader
from emulator.watcher import Watcher
from tests.support.servers import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow
HELLO = "def hello(request):\n    return {'answer': 'one'}\n"


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

        def answer() -> str:
            return str(requests.post(f"{server.url}/functions/v1/hello", timeout=5).json().get("answer"))

        assert answer() == "one"
        hello.write_text(HELLO.replace("one", "two"))
        copy = code.copied()
        assert code.problem(copy) is None
        hello.write_text("def hello(request:\n")
        errors.write_text("class WppError(Exception\n")
        code.serve(copy)
        server.reload()
        wait_for(lambda: answer() == "two")
        assert not server.ended


@pytest.mark.parametrize(
    ("source", "name", "text", "expected"),
    [
        ("functions", "hello/main.py", "import wpp.errors\ndef hello(request:\n", ":2 SyntaxError: "),
        ("functions", "hello/main.py", "raise SystemExit(0)\n", ":1 SystemExit: 0"),
        ("functions", "hello/main.py", "", " has no function hello"),
        ("functions", "hello/main.py", "\nassert False\n", ":2 AssertionError"),
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


@pytest.mark.parametrize(
    ("text", "seconds", "expected"),
    [
        ("import os\nos._exit(0)\n", 30.0, "ends the process"),
        ("import subprocess\nsubprocess.run(['sleep', '60'])\n", 1.0, "more than 1 seconds"),
    ],
)
def test_code_that_never_ends_loading_or_ends_all_is_a_problem(
    code: Code, text: str, seconds: float, expected: str
) -> None:
    (code.sources["functions"] / "hello/main.py").write_text(text)
    began = time.monotonic()
    with Code(code.sources["functions"], code.sources["shared/wpp"], trial_seconds=seconds) as hasty:
        assert expected in str(hasty.problem(hasty.copied()))
    assert time.monotonic() - began < 30


def test_a_trial_under_way_can_be_ended(code: Code) -> None:
    (code.sources["functions"] / "hello/main.py").write_text("import time\ntime.sleep(60)\n")
    copy = code.copied()
    with ThreadPoolExecutor(1) as threads:
        trying = threads.submit(code.problem, copy)
        time.sleep(1)
        assert not trying.done()
        code.end()
        assert trying.result(5) is not None
        assert code.problem(copy) == "the stack is ending"


def test_only_functions_are_tried(code: Code) -> None:
    for name in ("my-function", "_shared", "hello copy", "Big"):
        (code.sources["functions"] / name).mkdir()
        (code.sources["functions"] / name / "main.py").write_text("1 / 0\n")
    os.mkfifo(code.sources["functions"] / "hello/pipe")
    problem = code.problem(code.copied())
    assert problem is not None
    assert "/Big/main.py:1 ZeroDivisionError" in problem
    shutil.rmtree(code.sources["functions"] / "Big")
    assert code.problem(code.copied()) is None


def test_a_change_is_reported_until_it_could_be_used(tmp_path: Path) -> None:
    reported: list[list[Path]] = []
    watcher = Watcher([tmp_path, tmp_path / "missing"])
    (tmp_path / "a.py").write_text("")

    def changed(paths: list[Path]) -> bool:
        reported.append(paths)
        return len(reported) > 1

    watcher.start(changed, lambda: None)
    wait_for(lambda: len(reported) == 2)
    time.sleep(1)
    watcher.stop()
    watcher.wait()
    assert reported == [[tmp_path / "a.py"]] * 2


def test_copies_that_serve_or_did_lately_are_kept_and_no_others(code: Code) -> None:
    served = [code.copied() for _ in range(7)]
    for copy in served:
        code.serve(copy)
    assert [copy.exists() for copy in served] == [False] * 2 + [True] * 5
    for _ in range(9):
        broken = code.copied()
        code.discard(broken)
    assert (Path(code.environment()["FUNCTIONS_DIR"]) / "hello/main.py").exists()
    (code.sources["functions"] / "hello/main.py").unlink()
    shutil.rmtree(code.sources["shared/wpp"])
    before = sorted(served[0].parent.iterdir())
    with pytest.raises(OSError, match="wpp"):
        code.copied()
    assert sorted(served[0].parent.iterdir()) == before


def test_threads_and_exit_handlers_of_code_are_not_a_problem(code: Code) -> None:
    main = code.sources["functions"] / "hello/main.py"
    main.write_text(HELLO + "import atexit, threading, time\natexit.register(print, 'bye')\n"
                    "threading.Thread(target=time.sleep, args=[30]).start()\n")  # fmt: skip
    assert code.problem(code.copied()) is None


def test_a_save_while_the_server_has_ended_is_served_by_the_next(code: Code) -> None:
    hello = code.sources["functions"] / "hello/main.py"
    code.serve(code.copied())
    port = free_port()
    watcher = Watcher(code.sources.values())
    with server_process(code.environment(), port, configuration=code.server_configuration) as server:
        server.wait_until_ready()
        Reloader(watcher, code, server).start()
        first = server.pid
        server.kill()
        wait_for(lambda: server.pid != first)
        server.kill()  # so soon that it is left alone for a moment
        hello.write_text(HELLO.replace("one", "two"))
        wait_for(lambda: requests.get(f"{server.url}/hello", timeout=5).json() == {"answer": "two"})
        watcher.stop()
        watcher.wait()
