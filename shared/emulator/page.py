"""The connect page at `/`: its files, and the controls behind its buttons.

It uses the functions as the product's web client does, through the real supabase-js. That is fetched once with npm, and checked
against the hash below; without npm or network the page says so, and all else works.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import mimetypes
import secrets
import shutil
import subprocess
import tarfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import segno

from emulator.faults import Fault
from emulator.inspector import calls
from emulator.messages import Request, Response, json_response
from emulator.processes import ROOT
from emulator.supabase.app import DEMO_EMAIL, DEMO_PASSWORD

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.stack import Stack

_STATIC = Path(__file__).with_name("static")
_LIBRARY = "@supabase/supabase-js@2.109.0"
_LIBRARY_SHA512 = "eNpUGegTT3hhoTK9j6aLViVjybYtdq6Ishb4BkVLi5tT58S1D80n7dmALMoBWkbrYG4uQv30c8iAB6nZylX0Fg=="
_LIBRARY_FILE = "package/dist/umd/supabase.js"
_KEPT = ROOT / ".local/supabase-js-2.109.0.js"
_NPM_SECONDS = 60

_HTML = b"<html><body>502 Bad Gateway</body></html>"
FAULTS: dict[str, list[tuple[str, Fault]]] = {
    "platform_slow": [("platform", Fault("*", status=0, delay=2.0, times=None))],
    "platform_drops": [("platform", Fault("*", "reset", times=None))],
    "platform_html": [("platform", Fault("*", status=502, body=_HTML, times=None))],
    "secret_refused": [("platform", Fault("create", status=401, body=b'{"error": "Invalid token"}', times=None))],
    "key_refused": [("platform", Fault("token", status=403, body=b'{"error": "Invalid API key"}', times=None))],
    "answer_lost": [("platform", Fault("create", "reset", after_effect=True, times=None))],
    "database_slow": [("supabase", Fault("rest.GET.profiles", status=0, delay=2.0, times=None))],
    "database_down": [("supabase", Fault("rest.GET.profiles", status=503, times=None))],
}
"""By the name that the page has for it: what goes wrong with which calls, as long as its switch is on."""


class Page:
    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._faults: set[str] = set()
        self._clock = 0.0
        self._stored = secrets.token_hex(8)
        self._fetching = threading.Lock()

    def answer(self, request: Request) -> Response:
        name = request.path.removeprefix("/_page/").strip("/")
        if request.method == "POST":
            body = request.json()
            if name == "qr":
                return _drawn(str(body["text"]))
            act = self._acts().get(name)
            if act is None or not isinstance(body, dict):
                return json_response(404, {"error": f"there is no control {name!r}"})
            try:
                act(body)
            except KeyError as missing:  # a session that was forgotten since, or a field
                return json_response(404, {"error": f"there is no {missing.args[0]}"})
            return json_response(200, {})
        if name in ("calls", "config"):
            return json_response(200, calls(self._stack) if name == "calls" else self._config())
        return self._library() if name == "supabase.js" else _file(name or "index.html")

    def _acts(self) -> dict[str, Callable[[dict[str, Any]], None]]:
        platform = self._stack.platform
        return {
            "scan": lambda body: platform.scan(body["session"]),
            "disconnect": lambda body: platform.disconnect(body["session"]),
            "fault": lambda body: self._switch(body["name"], on=body["on"]),
            "clock": lambda body: self._advance(float(body["seconds"])),
            "reset": lambda _: self._reset(),
        }

    def _config(self) -> dict[str, Any]:
        return {
            "anonKey": self._stack.supabase.anon_key,
            "email": DEMO_EMAIL,
            "password": DEMO_PASSWORD,
            "faults": {name: name in self._faults for name in FAULTS},
            "clock": self._clock,
            "stored": self._stored,
        }

    def _switch(self, name: str, *, on: bool) -> None:
        self._faults = (self._faults | {name}) if on else (self._faults - {name})
        servers = {"platform": self._stack.platform_server, "supabase": self._stack.supabase_server}
        for server in servers.values():
            server.clear_faults()
        for active in sorted(self._faults):
            for system, fault in FAULTS[active]:
                servers[system].inject(fault)

    def _advance(self, seconds: float) -> None:
        """For both systems; for the functions only what they have stored, as their own clock is the machine's."""
        self._clock += seconds
        self._stack.clock.advance(seconds)
        for row in self._stack.supabase.rows():
            claim = row["settings"].get("wppClaim")
            if isinstance(claim, dict) and "expiresAt" in claim:
                claim["expiresAt"] -= int(seconds * 1000)
                settings = json.dumps(row["settings"])
                self._stack.supabase.execute(
                    "update messenger_integrations set settings = %s where id = %s", settings, row["id"]
                )

    def _reset(self) -> None:
        self._faults, self._clock, self._stored = set(), 0.0, secrets.token_hex(8)
        self._stack.reset()
        self._stack.platform.forget()
        self._stack.supabase.execute("delete from messenger_integrations")

    def _library(self) -> Response:
        with self._fetching:
            if not _KEPT.exists():
                problem = _fetch_library()
                if problem:
                    return Response(503, problem.encode(), {"Content-Type": "text/plain; charset=utf-8"})
        return Response(200, _KEPT.read_bytes(), {"Content-Type": "text/javascript", "Cache-Control": "max-age=3600"})


def _fetch_library() -> str | None:
    """What is wrong, None if nothing is."""
    npm = shutil.which("npm")
    if npm is None:
        return "supabase-js is fetched with npm, which is not installed (Debian: apt-get install npm)"
    folder = _KEPT.parent
    folder.mkdir(exist_ok=True)
    command = [npm, "pack", _LIBRARY, "--silent", "--pack-destination", str(folder)]
    try:
        packed = subprocess.run(command, capture_output=True, text=True, timeout=_NPM_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"npm could not fetch {_LIBRARY} within {_NPM_SECONDS} seconds: is there a network?"
    if packed.returncode:
        return f"npm could not fetch {_LIBRARY}: {packed.stderr.strip()[-300:] or 'is there a network?'}"
    archive = folder / packed.stdout.split()[-1]
    data = archive.read_bytes()
    archive.unlink()
    if base64.b64encode(hashlib.sha512(data).digest()).decode() != _LIBRARY_SHA512:
        return f"what npm fetched as {_LIBRARY} is not what it should be"
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        library = tar.extractfile(_LIBRARY_FILE)
        if library is None:
            return f"{_LIBRARY} has no {_LIBRARY_FILE}"
        aside = _KEPT.with_suffix(".new")
        aside.write_bytes(library.read())
        aside.replace(_KEPT)  # never half of it
    return None


def _file(name: str) -> Response:
    path = _STATIC / name
    if name not in {file.name for file in _STATIC.iterdir()}:
        return json_response(404, {"error": "no such file"})
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return Response(200, path.read_bytes(), {"Content-Type": f"{kind}; charset=utf-8", "Cache-Control": "no-cache"})


def _drawn(text: str) -> Response:
    picture = io.BytesIO()
    segno.make(text).save(picture, kind="svg", border=4, dark="#000", light="#fff", xmldecl=False, svgclass=None)
    return Response(200, picture.getvalue(), {"Content-Type": "image/svg+xml", "Cache-Control": "no-store"})
