"""The baseline: the same call as the earlier functions worked. Five calls one after another, each on a new connection.

    python -m tests.bench.sequential < {"supabase": …, "platform": …, "service_key": …, "anon_key": …, "token": …, "times": 20}

Prints the seconds of each turn as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import requests

from emulator.processes import ROOT

if TYPE_CHECKING:
    from emulator.stack import Stack

_TIMEOUT = 9  # seconds


def sequential(stack: Stack, token: str, times: int) -> list[float]:
    """From a process of its own, like the function that it stands beside."""
    job = {
        "supabase": stack.supabase_server.url,
        "platform": stack.platform_server.url,
        "service_key": stack.supabase.service_role_key,
        "anon_key": stack.supabase.anon_key,
        "token": token,
        "times": times,
    }
    command = [sys.executable, "-m", "tests.bench.sequential"]
    done = subprocess.run(command, input=json.dumps(job).encode(), cwd=ROOT, check=True, stdout=subprocess.PIPE)
    taken: list[float] = json.loads(done.stdout)
    return taken


def _turn(supabase: str, platform: str, service_key: str, anon_key: str, token: str) -> None:
    service = {"apikey": service_key, "Authorization": f"Bearer {service_key}"}
    user = {"apikey": anon_key, "Authorization": f"Bearer {token}"}
    user_id = requests.get(f"{supabase}/auth/v1/user", headers=user, timeout=_TIMEOUT).json()["id"]
    profiles = requests.get(f"{supabase}/rest/v1/profiles?id=eq.{user_id}", headers=service, timeout=_TIMEOUT).json()
    where = f"organization_id=eq.{profiles[0]['organization_id']}"
    rows = requests.get(f"{supabase}/rest/v1/messenger_integrations?{where}", headers=service, timeout=_TIMEOUT).json()
    stored = rows[0]["settings"]
    key = {"apiKey": stored["wppApiKey"]}
    bearer = requests.post(f"{platform}/auth/token", json=key, timeout=_TIMEOUT).json()["token"]
    status = f"{platform}/api/accounts/{stored['wppAccountNumber']}/status"
    requests.get(status, headers={"Authorization": f"Bearer {bearer}"}, timeout=_TIMEOUT).raise_for_status()


def _run(times: int, **addresses: str) -> list[float]:
    _turn(**addresses)
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        _turn(**addresses)
        taken.append(time.perf_counter() - began)
    return taken


if __name__ == "__main__":
    print(json.dumps(_run(**json.load(sys.stdin))))
