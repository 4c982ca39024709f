"""Starts the release it lies in beside the one that serves, on a socket of its own, and asks every function for its version.

    python3 trial.py     →  exit status 0 if all of them are there

Only the standard library: it runs with whatever Python serves the functions, before anything is switched.
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


def _ask(path: str, address: str) -> tuple[int, dict[str, object]]:
    connection = _Connection(address)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = json.loads(answer.read())
        return answer.status, body if isinstance(body, dict) else {}
    finally:
        connection.close()


def _first_answer(address: str, server: subprocess.Popen[bytes]) -> tuple[int, dict[str, object]]:
    """Of the health address; status 0 where none came in time."""
    give_up = time.monotonic() + _PATIENCE
    while server.poll() is None and time.monotonic() < give_up:
        try:
            return _ask("/healthz", address)
        except (OSError, http.client.HTTPException):
            time.sleep(0.05)
    return 0, {}


def _problem(address: str, server: subprocess.Popen[bytes]) -> str | None:
    """What is wrong with the server at `address`, None if nothing is."""
    version = (_RELEASE / "VERSION").read_text(encoding="utf-8").strip()
    status, health = _first_answer(address, server)
    if status == 0:
        return "the server does not start"
    if status != 200:
        return f"these functions cannot be loaded: {health.get('broken')}"
    for path in sorted((_RELEASE / "functions").iterdir()):
        name = path.name.replace("_", "-")
        status, body = _ask(f"/functions/v1/{name}", address)
        if (status, body.get("function"), body.get("version")) != (200, name, version):
            return f"{name} answers {status} with version {body.get('version')}, not 200 with {version}"
    return None


def _settings() -> dict[str, str]:
    """Those that the service will have, where they are in a file that may be read."""
    try:
        lines = (_RELEASE.parents[1] / "env").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        address = f"{folder}/trial.sock"
        arguments = ["--config", str(_RELEASE / "gunicorn.conf.py"), "--bind", f"unix:{address}", "--workers", "1"]
        paths = os.pathsep.join([str(_RELEASE / "shared"), str(_RELEASE / "packages")])
        environment = {**_settings(), **os.environ, "PYTHONPATH": paths, "FUNCTIONS_DIR": str(_RELEASE / "functions")}
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
