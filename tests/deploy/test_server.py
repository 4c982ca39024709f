"""One server for all functions of a folder, over real sockets under gunicorn."""

from __future__ import annotations

import shutil
import threading
import time
from typing import TYPE_CHECKING

import pytest
import requests

from emulator.processes import GUNICORN, ROOT, FunctionProcess, free_port, server_process
from tests.support.callers import ADDRESSES, FUNCTIONS
from tests.support.servers import Calling, reload, start_server, wait_for, workers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from emulator.stack import Stack
    from tests.support.callers import Caller

pytestmark = pytest.mark.slow
BROKEN = {
    "syntax_error": "def broken(:\n",
    "system_exit": "import sys\nsys.exit('not on this machine')\n",
    "import_error": "import a_module_that_nobody_has\n",
    "no_target": "def another_name(request):\n    return 'hello'\n",
    "not_a_function": "not_a_function = 7\n",
}
HELLO = "def hello_world(request):\n    return {'hello': request.get_json(silent=True)}\n"
RUDE = "import sys\n\n\ndef rude(request):\n    sys.exit(1)\n"


@pytest.fixture(scope="module")
def server(_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FunctionProcess]:
    """All functions, and beside them another one that works, some that cannot be loaded, and folders that are not functions."""
    folder = tmp_path_factory.mktemp("functions")
    shutil.copytree(ROOT / "functions", folder, dirs_exist_ok=True)
    sources = {**BROKEN, "hello_world": HELLO, "rude": RUDE, "_shared": "1 / 0\n", "with-dashes": "1 / 0\n"}
    for name, source in sources.items():
        (folder / name).mkdir()
        (folder / name / "main.py").write_text(source)
    with start_server(folder, _stack.environment()) as process:
        yield process


@pytest.mark.parametrize("prefix", ["/functions/v1/", "/"])
def test_the_functions_connect_under_both_paths(server: FunctionProcess, caller: Caller, prefix: str) -> None:
    created = caller.call_at(f"{server.url}{prefix}wpp-create")
    provisioned = caller.call_at(f"{server.url}{prefix}wpp-provision")

    assert (created.status_code, provisioned.status_code) == (200, 200)
    assert created.json()["session"] == provisioned.json()["session"] == caller.row()["settings"]["wppAccountNumber"]


@pytest.mark.parametrize("prefix", ["/functions/v1/", "/"])
@pytest.mark.parametrize("name", ADDRESSES)
def test_get_says_name_and_version(server: FunctionProcess, prefix: str, name: str) -> None:
    answer = requests.get(f"{server.url}{prefix}{name}", timeout=5)

    assert answer.json() == {"success": True, "function": name, "version": "source"}


def test_another_function_needs_no_registration(server: FunctionProcess) -> None:
    answer = requests.post(f"{server.url}/functions/v1/hello-world", json=[1], timeout=5)

    assert answer.json() == {"hello": [1]}


@pytest.mark.parametrize(
    "path",
    ["/functions/v1/nothing", "/nothing", "/", "/functions/v1/", "/a/b/c", "/wpp_create", "/_shared", "/with-dashes"],
)
def test_an_unknown_name_is_404_in_the_functions_own_shape(server: FunctionProcess, path: str) -> None:
    answer = requests.post(server.url + path, timeout=5)

    body = answer.json()
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert (body["success"], body["code"], body["retryable"]) == (False, "not_found", False)
    assert body["error"]


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_function_that_fails_to_import_answers_500_and_the_log_says_why(server: FunctionProcess, name: str) -> None:
    answer = requests.post(f"{server.url}/functions/v1/{name.replace('_', '-')}", timeout=5)

    assert answer.status_code == 500
    body = answer.json()
    assert (body["success"], body["code"], body["retryable"]) == (False, "function_broken", False)
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    lines = [
        line for line in server.output().splitlines() if "cannot be loaded" in line and f'"function": "{name}"' in line
    ]
    assert lines
    reasons = {
        "syntax_error": "SyntaxError",
        "system_exit": "not on this machine",
        "import_error": "a_module_that_nobody_has",
        "no_target": "no attribute 'no_target'",
        "not_a_function": "must be a function",
    }
    assert reasons[name] in lines[0]


def test_a_function_that_exits_takes_no_other_call_down(server: FunctionProcess) -> None:
    with Calling(f"{server.url}/wpp-create") as calling:
        answers = [requests.post(f"{server.url}/rude", timeout=5) for _ in range(5)]
        wait_for(lambda: len(calling.versions) > 20 or calling.failures)

    assert {answer.status_code for answer in answers} == {500}
    assert answers[0].json()["code"] == "internal_error"
    assert calling.failures == []


def test_a_method_that_nobody_serves_is_405_in_the_functions_own_shape(server: FunctionProcess) -> None:
    answer = requests.request("PROPFIND", f"{server.url}/functions/v1/wpp-create", timeout=5)

    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == "POST, GET, OPTIONS"


def test_a_preflight_is_answered_for_every_name(server: FunctionProcess) -> None:
    for name in ("wpp-create", "nothing", "syntax-error"):
        answer = requests.options(f"{server.url}/functions/v1/{name}", timeout=5)

        assert answer.status_code == 204
        assert "authorization" in answer.headers["Access-Control-Allow-Headers"]


def test_health_names_what_is_served_and_what_is_broken(server: FunctionProcess, tmp_path: Path) -> None:
    ailing = requests.get(server.url + "/healthz", timeout=5)
    with start_server(ROOT / "functions") as sound:
        healthy = requests.get(sound.url + "/healthz", timeout=5)

    assert ailing.status_code == 503
    assert ailing.json()["broken"] == sorted(BROKEN)
    assert healthy.status_code == 200
    expected = {"success": True, "functions": FUNCTIONS, "broken": [], "version": "source"}
    expected["release"] = ROOT.name
    assert healthy.json() == expected


def test_a_reload_serves_a_new_function_and_fails_no_request(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "functions", tmp_path, dirs_exist_ok=True)
    slow = "import time\n\n\ndef slow(request):\n    time.sleep(2)\n    return 'done'\n"
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow/main.py").write_text(slow)
    answers: list[requests.Response] = []
    with start_server(tmp_path, workers=2) as server, Calling(server.url + "/wpp-create") as calling:
        begun_before = threading.Thread(target=lambda: answers.append(requests.get(server.url + "/slow", timeout=30)))
        begun_before.start()
        time.sleep(0.5)
        (tmp_path / "hello_world").mkdir()
        (tmp_path / "hello_world/main.py").write_text(HELLO)
        assert requests.get(server.url + "/hello-world", timeout=5).status_code == 404
        reload(server)
        wait_for(lambda: requests.get(server.url + "/hello-world", timeout=5).status_code == 200)
        begun_before.join()
        time.sleep(0.5)

    assert calling.failures == []
    assert len(calling.versions) > 10
    assert [answer.text for answer in answers] == ["done"]


def test_a_reload_ends_a_worker_that_is_still_starting(tmp_path: Path) -> None:
    """gunicorn signals an old worker once, and then waits for it."""
    held, starting = tmp_path / "held", tmp_path / "starting"
    starting.mkdir()
    held.touch()
    configuration = tmp_path / "gunicorn.conf.py"
    configuration.write_text(
        f"{GUNICORN.read_text()}\n\nimport pathlib\n\nours = post_fork\n\n\n"
        "def post_fork(server, worker):\n    ours(server, worker)\n"
        f"    pathlib.Path({str(starting)!r}, str(os.getpid())).touch()\n"
        f"    while os.path.exists({str(held)!r}):\n        time.sleep(0.02)\n"
    )
    env = {"FUNCTIONS_DIR": str(ROOT / "functions")}
    with server_process(env, free_port(), workers=2, configuration=configuration) as server:
        wait_for(lambda: len(list(starting.iterdir())) == 2)
        before = workers(server)
        reload(server)
        wait_for(lambda: len(list(starting.iterdir())) == 4)
        held.unlink()
        wait_for(lambda: requests.get(server.url + "/healthz", timeout=5).status_code < 600)
        wait_for(lambda: not workers(server) & before, seconds=15)


def test_a_request_that_never_ends_is_ended_and_harms_no_other(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "functions", tmp_path, dirs_exist_ok=True)
    (tmp_path / "endless").mkdir()
    (tmp_path / "endless/main.py").write_text("import time\n\n\ndef endless(request):\n    time.sleep(1000)\n")
    with (
        start_server(tmp_path, {"REQUEST_LIMIT_SECONDS": "1"}) as server,
        Calling(server.url + "/wpp-create") as calling,
    ):
        start = time.monotonic()
        answer = requests.get(server.url + "/endless", timeout=30)
        lasted = time.monotonic() - start
        log = server.output()

    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert 1 < lasted < 8
    assert "is not done after 1 seconds" in log
    assert "endless/main.py:5 endless" in log  # where it was
    assert calling.failures == []
