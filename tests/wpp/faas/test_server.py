"""The server of all functions: found by looking into a folder, and no function takes another down."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import requests

from emulator.processes import free_port, server_process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.processes import FunctionProcess

WORKING = "def hello_world(request):\n    return {'hello': request.method}\n"
BROKEN = {
    "syntax": "def syntax(:\n",
    "missing_import": "import no_such_module\n",
    "exits": "raise SystemExit(3)\n",
    "no_target": "x = 1\n",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FunctionProcess]:
    folder = tmp_path_factory.mktemp("functions")
    for name, source in {"hello_world": WORKING, **BROKEN}.items():
        (folder / name).mkdir()
        (folder / name / "main.py").write_text(source)
    with server_process({"FUNCTIONS_DIR": str(folder)}, free_port()) as process:
        process.wait_until_ready()
        yield process


@pytest.mark.parametrize("path", ["/functions/v1/hello-world", "/hello-world"])
def test_a_folder_with_a_main_is_served_under_both_paths(server: FunctionProcess, path: str) -> None:
    assert requests.post(server.url + path, timeout=10).json() == {"hello": "POST"}


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_function_that_cannot_be_loaded_answers_500_and_the_log_says_why(server: FunctionProcess, name: str) -> None:
    answer = requests.post(f"{server.url}/functions/v1/{name.replace('_', '-')}", timeout=10)
    assert (answer.status_code, answer.json()["code"]) == (500, "function_broken")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert f'"function": "{name}"' in server.output()


@pytest.mark.parametrize(
    "path", ["/functions/v1/nobody", "/functions/v1/hello_world", "/", "/a/b/c", "/functions/v1/../x"]
)
def test_an_unknown_name_is_404_in_the_same_shape(server: FunctionProcess, path: str) -> None:
    answer = requests.post(server.url + path, timeout=10)
    assert (answer.status_code, answer.json()["success"], answer.json()["code"]) == (404, False, "not_found")


@pytest.mark.parametrize(("path", "status"), [("//hello-world", 200), ("/functions/v1//hello-world", 404)])
def test_an_address_with_a_slash_too_many_is_not_redirected(server: FunctionProcess, path: str, status: int) -> None:
    """A redirect has no CORS headers, and browsers follow none for a preflight."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)) as connection:
        connection.request("POST", path)  # requests would leave out one slash
        answer = connection.getresponse()
        assert answer.status == status
        assert json.load(answer).get("code") == (None if status == 200 else "not_found")


def test_the_health_address_names_what_is_broken(server: FunctionProcess) -> None:
    answer = requests.get(f"{server.url}/healthz", timeout=10)
    assert answer.status_code == 503
    assert answer.json()["broken"] == sorted(BROKEN)


@pytest.mark.parametrize("origin", ["https://пример.рф", "https://a.example\nX: y"])
def test_an_origin_that_no_header_carries_is_reported_to_the_page(origin: str) -> None:
    with server_process({"CORS_ALLOW_ORIGIN": origin}, free_port()) as process:
        process.wait_until_ready()
        preflight = requests.options(process.url + "/wpp-create", timeout=10)
        answer = requests.post(process.url + "/wpp-create", timeout=10)
        log = process.output()
    assert (preflight.status_code, preflight.headers["Access-Control-Allow-Origin"]) == (204, "*")
    assert (answer.status_code, answer.json()["code"]) == (500, "not_configured")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "CORS_ALLOW_ORIGIN must be * or one origin" in log
