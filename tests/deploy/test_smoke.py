"""`make smoke`: it passes where all is well, and says what is wrong where it is not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from deploy.smoke import NEVER_CALLED, Deployment, smoke
from emulator.processes import ROOT, FunctionProcess, free_port
from tests.support.callers import ADDRESSES, FUNCTIONS
from tests.support.servers import start_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from emulator.stack import Stack
    from tests.support.callers import Caller

pytestmark = pytest.mark.slow


ALL = 3 * len(FUNCTIONS)
"""The checks without a token."""
CALLED = ALL + sum(address not in NEVER_CALLED for address in ADDRESSES)
"""The checks with one."""


@pytest.fixture(scope="module")
def server(_stack: Stack) -> Iterator[FunctionProcess]:
    with start_server(ROOT / "functions", _stack.environment()) as process:
        yield process


def make_smoke(url: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deploy.smoke", *([url] if url else [])]
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "shared"), **env}
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=120)


def lines(smoked: subprocess.CompletedProcess[str], check: str) -> list[str]:
    return [line for line in smoked.stdout.splitlines() if f" {check} " in line]


@pytest.mark.parametrize("token", ["abc\ndef", "токен"])
def test_a_token_that_no_header_can_carry_is_not_shown(token: str) -> None:
    smoked = make_smoke("http://127.0.0.1:9", SMOKE_TOKEN=token)
    assert (smoked.returncode, smoked.stdout) == (2, "")
    assert smoked.stderr == "error: SMOKE_TOKEN has characters that no header can carry\n"


@pytest.mark.parametrize(("url", "status"), [("http://[::1", 2), ("http://a..b", 1)])
def test_an_odd_address_ends_in_words(url: str, status: int) -> None:
    smoked = make_smoke(url)
    assert smoked.returncode == status
    assert "Traceback" not in smoked.stderr


def test_all_is_well(server: FunctionProcess) -> None:
    smoked = make_smoke(server.url + "/functions/v1")

    assert smoked.returncode == 0
    assert smoked.stdout.count(" ok ") == ALL
    assert f"{ALL} of {ALL} checks passed" in smoked.stdout
    assert all("version source" in line for line in lines(smoked, "health"))
    assert all("401 missing_authorization" in line for line in lines(smoked, "no token"))


def test_with_a_token_it_makes_a_full_call_and_prints_no_credential(server: FunctionProcess, caller: Caller) -> None:
    caller.stack.platform.settings.qr_delay = 0
    smoked = make_smoke(server.url, SMOKE_TOKEN=caller.token)

    assert smoked.returncode == 0
    assert f"{CALLED} of {CALLED} checks passed" in smoked.stdout
    answers = {line.split()[0]: line.rpartition("  ")[2] for line in lines(smoked, "full call")}
    told = dict.fromkeys(("wpp-create", "wpp-provision", "wpp-status"), "status qr_issued")
    assert answers == told | {"wpp-qr": "status None"}
    settings = caller.row()["settings"]
    for secret in (caller.token, settings["wppApiKey"], "2@"):
        assert secret not in smoked.stdout + smoked.stderr


def test_a_token_disconnects_nobody() -> None:
    gateway = Gateway(GOOD)
    try:
        smoke(Deployment(gateway.url, token="a-token"), ["wpp-create", "wpp-disconnect"])
    finally:
        gateway.close()

    with_token = [path for path, headers in gateway.received if "Authorization" in headers]
    assert with_token == ["/wpp-create"]


def test_a_token_that_is_not_accepted_fails(server: FunctionProcess) -> None:
    smoked = make_smoke(server.url, SMOKE_TOKEN="not.a.token")

    assert smoked.returncode == 1
    assert all("401 instead of 200" in line for line in lines(smoked, "full call"))


def test_another_version_than_expected_fails(server: FunctionProcess) -> None:
    smoked = make_smoke(server.url, EXPECT_VERSION="v2")

    assert smoked.returncode == 1
    assert "version source answers, not v2" in smoked.stdout


def test_functions_that_are_not_configured_fail() -> None:
    with start_server(ROOT / "functions") as unconfigured:
        smoked = make_smoke(unconfigured.url)
        log = unconfigured.output()

    assert smoked.returncode == 1
    assert all("500 instead of 401: not_configured: WhatsApp" in line for line in lines(smoked, "no token"))
    assert "WPP_SECRET" not in smoked.stdout  # whoever asks, without a token
    assert log.count("SUPABASE_SERVICE_ROLE_KEY is missing; WPP_SECRET is missing") == len(lines(smoked, "no token"))
    assert all(" ok " in line for line in lines(smoked, "health"))


def test_a_function_that_cannot_be_loaded_fails_and_the_other_is_still_checked(tmp_path: Path, stack: Stack) -> None:
    shutil.copytree(ROOT / "functions", tmp_path, dirs_exist_ok=True)
    (tmp_path / "wpp_create/main.py").write_text("1 / 0\n")
    with start_server(tmp_path, stack.environment()) as half:
        smoked = make_smoke(half.url)

    assert smoked.returncode == 1
    assert f"{ALL - 2} of {ALL} checks passed" in smoked.stdout


def test_an_address_where_nothing_listens_fails() -> None:
    smoked = make_smoke(f"http://127.0.0.1:{free_port()}")

    assert smoked.returncode == 1
    assert smoked.stdout.count("no answer") == smoked.stdout.count("Connection refused") == ALL


def test_the_token_is_sent_and_not_a_password_of_the_netrc_file(
    server: FunctionProcess, caller: Caller, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password mine\n")
    smoked = make_smoke(server.url, SMOKE_TOKEN=caller.token, NETRC=str(tmp_path / "netrc"))

    assert f"{CALLED} of {CALLED} checks passed" in smoked.stdout


@pytest.mark.parametrize("url", ["", "ftp://example.org", "file:///etc/passwd", "api.example.org"])
def test_an_invalid_address_is_explained(url: str) -> None:
    smoked = make_smoke(url)

    assert smoked.returncode == 2
    assert "make smoke URL=" in smoked.stderr


class Gateway:
    """A gateway that answers all by itself: each method with a status, headers and a body."""

    def __init__(self, answers: dict[str, tuple[int, list[tuple[str, str]], str]]) -> None:
        self.received: list[tuple[str, dict[str, str]]] = []
        received = self.received

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                received.append((self.path, dict(self.headers)))
                status, headers, body = answers[self.command]
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            do_GET = do_POST = do_OPTIONS = answer  # noqa: N815 - names of the base class

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


JSON = ("Content-Type", "application/json")
ORIGIN = ("Access-Control-Allow-Origin", "*")
ALLOWED = ("Access-Control-Allow-Headers", "authorization, x-client-info, apikey, content-type")
GOOD = {
    "GET": (200, [JSON, ORIGIN], '{"function": "wpp-create"}'),
    "OPTIONS": (204, [ORIGIN, ALLOWED], ""),
    "POST": (401, [JSON, ORIGIN], '{"code": "missing_authorization"}'),
}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({}, None),
        ({"OPTIONS": (204, [ORIGIN, ORIGIN, ALLOWED], "")}, "two Access-Control-Allow-Origin"),
        ({"POST": (401, [JSON], "{}")}, "no Access-Control-Allow-Origin"),
        ({"OPTIONS": (204, [ORIGIN, ("Access-Control-Allow-Headers", "*")], "")}, "does not allow authorization"),
        ({"OPTIONS": (204, [ORIGIN, (ALLOWED[0], "authorization, apikey")], "")}, "does not allow content-type"),
        ({"OPTIONS": (405, [ORIGIN, ALLOWED], "")}, "405 instead of 204"),
        ({"GET": (200, [JSON], '{"function": "hello"}')}, "another function answers: 'hello'"),
        ({"GET": (200, [("Content-Type", "text/html")], "<html>")}, "200 with a body that is not a JSON object"),
        ({"GET": (302, [("Location", "http://127.0.0.1:9/")], "")}, "302 instead of 200"),
        ({"POST": (200, [JSON, ORIGIN], "{}")}, "200 instead of 401"),
    ],
)
def test_what_a_gateway_gets_wrong_is_named(
    capsys: pytest.CaptureFixture[str], change: dict[str, tuple[int, list[tuple[str, str]], str]], problem: str | None
) -> None:
    gateway = Gateway({**GOOD, **change})
    try:
        passed = smoke(Deployment(gateway.url), ["wpp-create"])
    finally:
        gateway.close()

    failed = [line for line in capsys.readouterr().out.splitlines() if "FAILED" in line]
    assert passed == (failed == [])
    assert len(failed) == (problem is not None)
    assert all(problem in line for line in failed if problem)


def test_the_anon_key_is_sent_with_each_request_as_supabase_js_does() -> None:
    gateway = Gateway(GOOD)
    try:
        smoke(Deployment(gateway.url, api_key="anon-key"), ["wpp-create"])
    finally:
        gateway.close()

    assert [headers.get("apikey") for _, headers in gateway.received] == ["anon-key"] * 3
