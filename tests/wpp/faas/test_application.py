"""The application that serves all functions of a folder, as a WSGI server calls it: whole answers and lines of the log."""

from __future__ import annotations

import socket
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import values

from tests.support.function_calls import logged, start_process
from wpp.faas import server
from wpp.faas.cors import cors_headers, preflight_headers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

    from emulator.stack import Stack
    from tests.support.function_calls import Lines

ORIGIN = "https://app.example"
JSON = {"Content-Type": "application/json", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
WORKING = """
from __future__ import annotations
from dataclasses import dataclass

@dataclass
class Greeting:  # annotations are looked up in the module
    hello: str

def hello_world(request):
    return vars(Greeting(request.method))
"""
REFUSING = "import flask\ndef refusing(request):\n    flask.abort(413)\n"
FAILING = "def failing(request):\n    raise ValueError('a secret')\n"
ENDED = "def ended(request):\n    raise SystemExit(1)\n"
METERED = """
from wpp.faas import functions_framework
from wpp.faas.function import Function

def metered(request):
    return functions_framework.serve(Function("metered", None), request)
"""
NOWHERE = "There is no function at this address"


@pytest.fixture(autouse=True)
def _process(monkeypatch: pytest.MonkeyPatch) -> None:
    start_process(monkeypatch)
    monkeypatch.setenv("CORS_ALLOW_ORIGIN", ORIGIN)


@pytest.fixture
def lines() -> Iterator[Lines]:
    with logged() as lines:
        yield lines


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "release-7" / "functions"
    folder.mkdir(parents=True)
    return folder


def application(folder: Path, **functions: str) -> FlaskClient:
    for name, source in functions.items():
        (folder / name).mkdir()
        (folder / name / "main.py").write_text(source)
    return server.create_app(folder).test_client()


def without_length(answer: TestResponse) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name != "Content-Length"}


def check_error(answer: TestResponse, status: int, code: str, text: str) -> None:
    assert answer.status_code == status
    assert answer.json == {"success": False, "error": text, "code": code, "retryable": False}
    assert without_length(answer) == {**JSON, **cors_headers(ORIGIN)}


# Functions


@pytest.mark.parametrize(
    "path", ["/functions/v1/hello-world", "/hello-world", "/hello-world/", "/functions/v1/hello-world/"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PROPFIND"])
def test_a_function_answers_every_method_under_its_paths(folder: Path, path: str, method: str) -> None:
    answer = application(folder, hello_world=WORKING).open(path, method=method)
    assert (answer.status_code, answer.json) == (200, {"hello": method})


def test_what_is_served_is_logged(folder: Path, lines: Lines) -> None:
    application(folder, hello_world=WORKING, b=FAILING.replace("failing", "b"), _shared="x = 1", **{"a-b": "x = 1"})
    assert lines == [
        {"level": "INFO", "message": "serving functions", "functions": ["b", "hello_world"], "version": "source"}
    ]


@pytest.mark.parametrize("name", ["nobody", "hello_world", "metrics", "_shared", "n" * 60])
def test_a_name_without_a_function_is_not_found(folder: Path, name: str) -> None:
    client = application(folder, hello_world=WORKING, _shared=WORKING)
    check_error(client.post(f"/functions/v1/{name}"), 404, "not_found", f"There is no function {name!r} here")


def test_of_a_long_name_the_beginning_is_shown(folder: Path) -> None:
    text = f"There is no function {'n' * 60!r} here"
    check_error(application(folder).post("/" + "n" * 61), 404, "not_found", text)


@pytest.mark.parametrize(
    "path",
    [
        "/", "/static/main.py", "/a/b/c", "/functions/v1/hello-world/metrics",
        "/functions/v1//hello-world", "/hello-world//",
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_address_of_no_function_is_not_found(folder: Path, path: str, method: str) -> None:
    check_error(application(folder, hello_world=WORKING).open(path, method=method), 404, "not_found", NOWHERE)


def test_a_browser_may_ask_before_a_call_of_what_is_not_there_to_read_the_error(folder: Path) -> None:
    answer = application(folder).options("/functions/v1/nobody")
    assert (answer.status_code, answer.data) == (204, b"")
    assert {**without_length(answer), **preflight_headers(ORIGIN)} == without_length(answer)


def test_the_refusal_of_a_function_keeps_its_status(folder: Path) -> None:
    answer = application(folder, refusing=REFUSING).post("/refusing")
    check_error(answer, 413, "bad_request", "Request Entity Too Large")


@pytest.mark.parametrize(("source", "kind"), [(FAILING, "ValueError"), (ENDED, "RuntimeError")])
def test_what_ends_a_call_is_an_internal_error_and_logged_with_where_it_came_from(
    folder: Path, lines: Lines, source: str, kind: str
) -> None:
    name = "failing" if kind == "ValueError" else "ended"
    client = application(folder, **{name: source})
    lines.clear()
    check_error(client.post(f"/functions/v1/{name}"), 500, "internal_error", "Internal error")
    (line,) = lines
    assert line.pop("error")["frames"][-1].endswith(f"{name}/main.py:2 {name}")
    assert line == {"level": "ERROR", "message": "an unforeseen error", "function": name}


# Functions that cannot be loaded


BROKEN = {
    "syntax": ("def syntax(:\n", "SyntaxError: invalid syntax (main.py, line 1)"),
    "missing_import": ("import no_such_module\n", "ModuleNotFoundError: No module named 'no_such_module'"),
    "exits": ("raise SystemExit(3)\n", "SystemExit: 3"),
    "no_target": ("x = 1\n", "AttributeError: module 'functions_no_target' has no attribute 'no_target'"),
    "no_function": ("no_function = 1\n", "TypeError: no_function in main.py must be a function"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_function_that_cannot_be_loaded_says_so_and_the_log_says_why(folder: Path, lines: Lines, name: str) -> None:
    source, reason = BROKEN[name]
    answer = application(folder, **{name: source}).post(f"/{name.replace('_', '-')}")
    text = f"The function {name.replace('_', '-')} could not be loaded; the log says why"
    check_error(answer, 500, "function_broken", text)
    described = lines[0].pop("error")
    assert described["type"] == reason.partition(":")[0]
    assert any("importlib" in frame for frame in described["frames"]) == (name not in ("no_target", "no_function"))
    assert lines[0] == {
        "level": "ERROR", "message": "a function cannot be loaded", "function": name, "reason": reason,
    }  # fmt: skip
    assert f"functions_{name}" not in sys.modules


# What the server says of itself


def test_the_health_address_tells_what_is_served_and_of_which_release(folder: Path) -> None:
    answer = application(folder, hello_world=WORKING).get("/healthz")
    assert answer.status_code == 200
    assert answer.json == {
        "success": True, "functions": ["hello_world"], "broken": [], "version": "source", "release": "release-7",
    }  # fmt: skip
    assert without_length(answer) == JSON


def test_the_health_address_names_what_is_broken(folder: Path) -> None:
    answer = application(folder, hello_world=WORKING, b="x = 1", a="x = 1").get("/healthz")
    assert answer.status_code == 503
    assert answer.json == {
        "success": False, "functions": ["a", "b", "hello_world"], "broken": ["a", "b"], "version": "source",
        "release": "release-7",
    }  # fmt: skip


def test_a_server_without_its_configuration_is_not_ready(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WPP_SECRET")
    answer = application(folder).get("/readyz")
    assert (answer.status_code, answer.json) == (503, {"success": False, "functions": "not_configured"})
    assert without_length(answer) == JSON


def test_a_server_that_reaches_both_systems_is_ready(
    folder: Path, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in stack.environment().items():
        monkeypatch.setenv(name, value)
    answer = application(folder).get("/readyz")
    assert (answer.status_code, answer.json) == (200, {"success": True, "supabase": "ok", "platform": "ok"})


# Metrics


@pytest.fixture
def metered(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FlaskClient]:
    monkeypatch.setenv("METRICS_PORT", "9100")
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    # What prometheus_client chooses by that variable when it is imported.
    monkeypatch.setattr(values, "ValueClass", values.MultiProcessValue())  # type: ignore[no-untyped-call]
    yield application(folder, metered=METERED)
    values.close_all_multiprocess_files()  # type: ignore[no-untyped-call]


def test_the_metrics_of_calls_are_on_a_port_of_their_own(metered: FlaskClient) -> None:
    assert metered.post("/metered").status_code == 401
    answer = metered.get("/metrics", base_url="http://10.0.0.7:9100")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    counted = 'wpp_calls_total{code="missing_authorization",function="metered",status="401"} 1.0'
    assert counted in answer.text.splitlines()


@pytest.mark.parametrize("port", [80, 8080, 910])
def test_the_metrics_are_not_on_another_port(metered: FlaskClient, port: int) -> None:
    check_error(metered.get("/metrics", base_url=f"http://10.0.0.7:{port}"), 404, "not_found", NOWHERE)


def test_a_host_header_does_not_open_the_metrics_to_a_unix_socket(metered: FlaskClient) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as connection:
        environ = {"gunicorn.socket": connection}
        answer = metered.get("/metrics", base_url="http://10.0.0.7:9100", environ_overrides=environ)
    check_error(answer, 404, "not_found", NOWHERE)


@pytest.mark.usefixtures("metered")
def test_the_port_is_the_one_that_the_connection_came_in_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as ours, socket.create_server(("127.0.0.1", 0)) as another:
        port = ours.getsockname()[1]
        monkeypatch.setenv("METRICS_PORT", str(port))
        client = application(folder)
        asked = [
            client.get(
                "/metrics", base_url=f"http://10.0.0.7:{named}", environ_overrides={"gunicorn.socket": connection}
            )
            for connection, named in ((ours, 80), (another, port))
        ]
    assert [answer.status_code for answer in asked] == [200, 404]


def test_without_a_port_for_them_there_are_no_metrics(folder: Path) -> None:
    text = "There is no function 'metrics' here"
    check_error(application(folder).get("/metrics", base_url="http://10.0.0.7:9100"), 404, "not_found", text)


# The folder


def test_the_functions_are_those_of_the_folder_that_the_environment_names(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    application(folder, hello_world=WORKING)
    monkeypatch.setenv("FUNCTIONS_DIR", str(folder))
    served: Any = server.app_from_environment().test_client().get("/healthz").json
    assert served["functions"] == ["hello_world"]


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUNCTIONS_DIR", str(tmp_path / "missing"))
    text = f"^FUNCTIONS_DIR must be the folder with the functions; {tmp_path}/missing is not a folder$"
    with pytest.raises(RuntimeError, match=text):
        server.app_from_environment()


@pytest.mark.parametrize(
    ("name", "is_served"), [("wpp_create", True), ("é", True), ("_shared", False), ("a-b", False), ("1a", False)]
)
def test_a_folder_is_a_function_if_its_name_is_a_public_name_of_python(
    tmp_path: Path, name: str, *, is_served: bool
) -> None:
    assert server.is_function(tmp_path / name / "main.py") is is_served
