"""A resolver that hangs, under the server of one's own as it is shipped: only calls of the name that it hangs on are affected."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import requests

from emulator.processes import ROOT
from tests.support.callers import new_caller
from tests.support.servers import start_server

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.stack import Stack

WAITING = 24
"""Calls at a time: more than the threads on which gevent has names looked up."""
# A name server that never answers needs root and a mount of its own for /etc/resolv.conf. Here one name blocks in the place of
# the C library, on the thread of whoever looks it up, as glibc does: the builtins are taken before gevent replaces anything.
RESOLVER = """
import _socket
from time import sleep

look_up = _socket.getaddrinfo


def hang_or_look_up(host, *args, **options):
    while host in ("hangs.example", b"hangs.example"):
        sleep(1)
    return look_up(host, *args, **options)


_socket.getaddrinfo = hang_or_look_up
"""
# Another function of the folder, which calls a host of its own over connections of its own.
ELSEWHERE = """
from wpp.http.transport import Transport


def elsewhere(request):
    url = request.get_json()
    return str(Transport().send("GET", url, {}, None, 5).status)
"""


def test_a_resolver_that_hangs_ends_with_the_deadline_and_holds_up_nobody_who_calls_another_host(
    stack: Stack, tmp_path: Path
) -> None:
    functions = tmp_path / "functions"
    shutil.copytree(ROOT / "functions", functions)
    (functions / "elsewhere").mkdir()
    (functions / "elsewhere/main.py").write_text(ELSEWHERE)
    (tmp_path / "sitecustomize.py").write_text(RESOLVER)
    # Long enough for a busy machine to bring all of them as far as to the platform.
    env = stack.environment() | {"WPP_BASE_URL": "https://hangs.example", "WPP_DEADLINE_SECONDS": "16"}
    env |= {"PYTHONPATH": str(tmp_path), "WEB_CONCURRENCY": "1"}
    users = [new_caller(stack, {}) for _ in range(WAITING)]
    urls = [f"http://{host}:{stack.supabase_server.port}/auth/v1/health" for host in ("127.0.0.1", "localhost")]
    with start_server(functions, env) as server, ThreadPoolExecutor(WAITING) as threads:
        hanging = list(threads.map(lambda user: user.call_at(f"{server.url}/wpp-create"), users))
        # Their lookups still hang, now that nobody waits for them.
        elsewhere = [requests.post(f"{server.url}/elsewhere", json=url, timeout=20).text for url in urls]

    assert {(answer.status_code, answer.json()["code"]) for answer in hanging} == {(504, "platform_timeout")}
    assert elsewhere == ["200", "200"]
