"""The emulated PostgREST answers what a real one answered: 50 exchanges recorded from PostgREST 14.17, in order."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import requests

from emulator.stack import Stack

RECORDINGS = Path(__file__).parent / "recordings"
GENERATED = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}, null|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+")
"""A random id, or the time: of these the rows that an error shows have others each time."""


def comparable(status: int, answer: Any, content_range: str | None) -> tuple[int, Any, str | None]:
    text = GENERATED.sub("…", json.dumps(answer, sort_keys=True))
    return status, json.loads(text), content_range


def test_every_recorded_exchange_is_answered_the_same() -> None:
    lines = (RECORDINGS / "exchanges.jsonl").read_text().splitlines()
    different = []
    with Stack(schema=(RECORDINGS / "schema.sql").read_text()) as stack:
        key = stack.supabase.service_role_key
        for recorded in map(json.loads, lines):
            answer = requests.request(
                recorded["method"],
                f"{stack.supabase_server.url}/rest/v1{recorded['path']}",
                json=recorded["body"],
                headers={"apikey": key, "Authorization": f"Bearer {key}", **recorded["headers"]},
                timeout=10,
            )
            body = answer.json() if answer.content else None
            got = comparable(answer.status_code, body, answer.headers.get("Content-Range"))
            wanted = comparable(recorded["status"], recorded["answer"], recorded["content_range"])
            if got != wanted:
                different.append(f"{recorded['n']}: {got}, not {wanted}")
    assert len(lines) == 50
    assert different == []
