"""What the page gets from its server: its files, its config, the calls to show, and the controls behind its buttons."""

from __future__ import annotations

import io
import json
import mimetypes
import secrets
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import segno

from emulator.faults import Fault
from emulator.messages import Request, Response, json_response
from emulator.page import library
from emulator.page.inspector import call, calls
from emulator.page.systems import health, systems
from emulator.platform.controls import ACTS
from emulator.processes import ROOT
from emulator.supabase.app import DEMO_EMAIL, DEMO_PASSWORD

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.stack import Stack

_STATIC = Path(__file__).with_name("static")
_CLIENT = ROOT / "functions/wpp-client.js"

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
"""What goes wrong with which calls while a switch is on, by the switch's name."""


class Page:
    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._faults: set[str] = set()
        self._clock = 0.0
        self._stored = secrets.token_hex(8)
        self._reports: dict[str, Callable[[], dict[str, Any]]] = {
            "calls": lambda: {"calls": calls(stack), "rows": stack.supabase.rows()},
            "config": self._config,
            "health": lambda: health(stack),
        }

    def answer(self, request: Request) -> Response:
        name = request.path.removeprefix("/_page/").strip("/")
        if request.method == "POST":
            body = request.json()
            if name == "qr":
                return _drawn(str(body["text"]))
            control = self._controls().get(name)
            if control is None or not isinstance(body, dict):
                return json_response(404, {"error": f"unknown control: {name!r}"})
            try:
                control(body)
            except KeyError as missing:  # a session that was forgotten since, or a field
                return json_response(404, {"error": f"not found: {missing.args[0]}"})
            return json_response(200, {})
        if name == "call":
            found = call(self._stack, parse_qs(request.query).get("id", [""])[0])
            return json_response(200 if found else 404, found)
        if name in self._reports:
            return json_response(200, self._reports[name]())
        return library.response() if name == "supabase.js" else _file(name or "index.html")

    def _controls(self) -> dict[str, Callable[[dict[str, Any]], None]]:
        platform = self._stack.platform
        return {
            **{name: partial(act, platform) for name, act in ACTS.items()},
            "fault": lambda body: self._switch(body["name"], on=body["on"]),
            "clock": lambda body: self._advance(float(body["seconds"])),
            "reset": lambda _: self._reset(),
        }

    def _config(self) -> dict[str, Any]:
        return {
            "anonKey": self._stack.supabase.anon_key,
            "email": DEMO_EMAIL,
            "password": DEMO_PASSWORD,
            "systems": systems(self._stack),
            "faults": [
                {"system": faults[0][0], "name": name, "on": name in self._faults} for name, faults in FAULTS.items()
            ],
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
        """For both systems. The functions keep the machine's clock: for them, what they stored is moved."""
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


def _file(name: str) -> Response:
    path = _CLIENT if name == _CLIENT.name else _STATIC / name
    if path.name not in {_CLIENT.name, *(file.name for file in _STATIC.iterdir())}:
        return json_response(404, {"error": "file not found"})
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return Response(200, path.read_bytes(), {"Content-Type": f"{kind}; charset=utf-8", "Cache-Control": "no-cache"})


def _drawn(text: str) -> Response:
    picture = io.BytesIO()
    segno.make(text).save(picture, kind="svg", border=4, dark="#000", light="#fff", xmldecl=False, svgclass=None)
    return Response(200, picture.getvalue(), {"Content-Type": "image/svg+xml", "Cache-Control": "no-store"})
