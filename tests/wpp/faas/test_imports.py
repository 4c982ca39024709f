"""What a cold start loads: only what its first request needs."""

from __future__ import annotations

import subprocess
import sys

from emulator.processes import ROOT

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


def test_a_worker_of_ones_own_server_has_loaded_all_that_its_first_caller_needs() -> None:
    script = "import sys, wpp.faas.server\nprint({'requests', 'jose.jwt', 'cryptography'} <= set(sys.modules))"
    environment = {"PYTHONPATH": str(ROOT / "shared")}
    ran = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout == "True\n"
