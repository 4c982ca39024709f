"""Starts the release it belongs to beside the one that serves, on a socket of its own, and asks every function for its version.

    python3 trial.py     →  exit status 0 if all of them answer

It uses only the standard library, and no `requests`: it runs on the server, with the Python that serves the functions, and must
report a release whose packages cannot be imported.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_RELEASE = Path(__file__).resolve().parent
_PATIENCE = 30.0  # seconds


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=5)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _get(path: str, address: str) -> tuple[int, dict[str, object]]:
    connection = _Connection(address)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = json.loads(response.read())
        return response.status, body if isinstance(body, dict) else {}
    finally:
        connection.close()


def _first_health(address: str, server: subprocess.Popen[bytes]) -> tuple[int, dict[str, object]]:
    """The first response of the health check; status 0 if none came in time."""
    give_up = time.monotonic() + _PATIENCE
    while server.poll() is None and time.monotonic() < give_up:
        try:
            return _get("/healthz", address)
        except (OSError, http.client.HTTPException):
            time.sleep(0.05)
    return 0, {}


def _problem(address: str, server: subprocess.Popen[bytes]) -> str | None:
    """What is wrong with the server at `address`, None if all is well."""
    version = (_RELEASE / "VERSION").read_text(encoding="utf-8").strip()
    status, health = _first_health(address, server)
    if status == 0:
        return "the server does not start"
    if status != 200:
        return f"these functions cannot be loaded: {health.get('broken')}"
    for path in sorted((_RELEASE / "functions").iterdir()):
        name = path.name.replace("_", "-")
        status, body = _get(f"/functions/v1/{name}", address)
        if (status, body.get("function"), body.get("version")) != (200, name, version):
            return f"{name} answers {status} with version {body.get('version')}, not 200 with {version}"
    return None


def _config() -> dict[str, str]:
    """What the service will have in its environment, where it is in a file that may be read: as reload.sh reads it."""
    try:
        lines = (_RELEASE.parents[1] / "env").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    pairs = [line.split("=", 1) for line in lines if "=" in line and not line.startswith(("#", ";"))]
    return {name: _unquoted(value) for name, value in pairs}


def _unquoted(value: str) -> str:
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if quoted else value


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        address = f"{folder}/trial.sock"
        arguments = ["--config", str(_RELEASE / "gunicorn.conf.py"), "--bind", f"unix:{address}", "--workers", "1"]
        paths = os.pathsep.join([str(_RELEASE / "shared"), str(_RELEASE / "packages")])
        environment = {**_config(), **os.environ, "PYTHONPATH": paths, "FUNCTIONS_DIR": str(_RELEASE / "functions")}
        server = subprocess.Popen([sys.executable, "-m", "gunicorn", *arguments], env=environment)
        try:
            problem = _problem(address, server)
        finally:
            server.terminate()
            server.wait(60)
    if problem:
        print(f"the trial of this release failed: {problem}", file=sys.stderr)
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
