"""`make bench`: what a user waits for, with 100 ms added to each upstream call, beside the same work done one call after another.

Prints a table of milliseconds and ratios. Nothing here fails a build: a timing is no test.
"""

from __future__ import annotations

import statistics
import sys
import time
import uuid
from typing import TYPE_CHECKING

import requests

from tests.emulator.stack import Stack
from tests.processes import function_process

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.processes import FunctionProcess

LATENCY = 0.1
REPEATS = 15


def main() -> int:
    with Stack() as stack:
        env = stack.environment()
        with function_process("wpp_create", env) as create, function_process("wpp_provision", env) as provision:
            create.wait_until_ready()
            provision.wait_until_ready()
            warm, sequential, calls = _warm(stack, create)
            first = _first_creation(stack, create)
            late = _qr_lateness(stack, provision)
    print(f"upstream delay {LATENCY * 1000:.0f} ms, medians of {REPEATS}\n")
    print(f"warm wpp_create, connected      {warm:6.0f} ms   {calls}")
    print(f"the same, one call after another{sequential:6.0f} ms   ratio {sequential / warm:.2f}")
    print(f"first creation                  {first:6.0f} ms")
    print(f"wpp_provision after the QR is there {late:.0f} ms at the median")
    return 0


def _warm(stack: Stack, create: FunctionProcess) -> tuple[float, float, str]:
    session, token = _connected(stack, create)
    _set_latency(stack, LATENCY)
    _call(create, token)
    answers = []
    warm = _median(lambda: answers.append(_call(create, token)))
    sequential = _median(lambda: _one_after_another(stack, token, session))
    _set_latency(stack, 0)
    return warm, sequential, answers[-1].headers["Server-Timing"].split('desc="')[1].split('"')[0]


def _first_creation(stack: Stack, create: FunctionProcess) -> float:
    _set_latency(stack, LATENCY)
    tokens = iter([_new_user(stack) for _ in range(REPEATS)])
    median = _median(lambda: _call(create, next(tokens)))
    _set_latency(stack, 0)
    return median


def _qr_lateness(stack: Stack, provision: FunctionProcess) -> float:
    """Milliseconds between the QR being there and the answer with it."""
    late = []
    for number in range(REPEATS):
        stack.platform.settings.qr_delay = 0.7 + number * 0.037
        organization, token = _new_user_of(stack)
        _call(provision, token)
        answered = time.time()
        (client,) = stack.platform.clients_of(organization)
        started = stack.platform.sessions[client.session].started_at or 0.0
        late.append((answered - started - stack.platform.settings.qr_delay) * 1000)
    return statistics.median(late)


def _one_after_another(stack: Stack, token: str, session: str) -> None:
    """As the earlier functions worked: user, profile, row, a token each time, status; a new connection each."""
    supabase, platform = stack.supabase_server.url, stack.platform_server.url
    service = {"apikey": stack.supabase.service_role_key, "Authorization": f"Bearer {stack.supabase.service_role_key}"}
    user = {"apikey": stack.supabase.anon_key, "Authorization": f"Bearer {token}"}
    user_id = requests.get(f"{supabase}/auth/v1/user", headers=user, timeout=9).json()["id"]
    profile = requests.get(f"{supabase}/rest/v1/profiles?id=eq.{user_id}", headers=service, timeout=9).json()[0]
    where = f"organization_id=eq.{profile['organization_id']}"
    row = requests.get(f"{supabase}/rest/v1/messenger_integrations?{where}", headers=service, timeout=9).json()[0]
    key = {"apiKey": row["settings"]["wppApiKey"]}
    bearer = requests.post(f"{platform}/auth/token", json=key, timeout=9).json()["token"]
    requests.get(
        f"{platform}/api/accounts/{session}/status", headers={"Authorization": f"Bearer {bearer}"}, timeout=9
    ).raise_for_status()


def _connected(stack: Stack, create: FunctionProcess) -> tuple[str, str]:
    token = _new_user(stack)
    session = str(_call(create, token).json()["session"])
    stack.platform.scan(session)
    _call(create, token)
    return session, token


def _new_user(stack: Stack) -> str:
    return _new_user_of(stack)[1]


def _new_user_of(stack: Stack) -> tuple[str, str]:
    organization = str(uuid.uuid4())
    stack.supabase.add_user(f"{organization}@example.com", organization_id=organization)
    return organization, stack.supabase.sign_in(f"{organization}@example.com")


def _call(function: FunctionProcess, token: str) -> requests.Response:
    answer = requests.post(function.url, headers={"Authorization": f"Bearer {token}"}, timeout=40)
    answer.raise_for_status()
    return answer


def _set_latency(stack: Stack, seconds: float) -> None:
    stack.supabase_server.latency = stack.platform_server.latency = seconds


def _median(work: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


if __name__ == "__main__":
    sys.exit(main())
