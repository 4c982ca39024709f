"""What a cold start loads: only what its first request needs."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from emulator.processes import ROOT
from tests.support.callers import new_caller

if TYPE_CHECKING:
    from emulator.stack import Stack

_FIRST_REQUEST = """
import sys
sys.path[:0] = ["shared", "functions/wpp_create"]
import main
from wpp.faas.function import respond
from wpp.faas.messages import Request
assert respond(main.FUNCTION, Request(sys.argv[1], {}, b"")).status == int(sys.argv[2])
heavy = {"requests", "urllib3", "ssl", "http.client", "jose", "cryptography", "boto3", "flask", "wpp.cli", "wpp.operating"}
print(sorted(heavy & set(sys.modules)))
"""


_SETTINGS = {
    "SUPABASE_URL": "http://127.0.0.1:1",
    "SUPABASE_SERVICE_ROLE_KEY": "k" * 20,
    "WPP_SECRET": "s" * 20,
    "WPP_BASE_URL": "http://127.0.0.1:1",
}


def _loaded(method: str, status: int) -> str:
    command = [sys.executable, "-c", _FIRST_REQUEST, method, str(status)]
    ran = subprocess.run(command, cwd=ROOT, env=_SETTINGS, capture_output=True, text=True, check=True)
    return ran.stdout.strip()


def test_a_preflight_and_a_health_check_load_nothing_that_calls_upstreams() -> None:
    assert _loaded("OPTIONS", 204) == "[]"
    assert _loaded("GET", 200) == "[]"


_FIRST_CALL = """
import sys
import flask.testing
from wpp.faas.server import app_from_environment
app = app_from_environment()
before = set(sys.modules)
response = app.test_client().post("/wpp-create", headers={"Authorization": f"Bearer {sys.argv[1]}"})
print(response.status_code, sorted(set(sys.modules) - before))
"""


def test_a_worker_of_ones_own_server_has_loaded_all_that_its_first_caller_needs(stack: Stack) -> None:
    environment = stack.environment() | {"PYTHONPATH": str(ROOT / "shared"), "FUNCTIONS_DIR": str(ROOT / "functions")}
    command = [sys.executable, "-c", _FIRST_CALL, new_caller(stack, {}).token]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout == "200 []\n"
