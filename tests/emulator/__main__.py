"""`make run` and `make demo`: the local stack with both functions behind one address, as the Supabase CLI has it.

    python -m tests.emulator run     until Ctrl-C
    python -m tests.emulator demo    signs in, connects, draws the QR, plays the scan, ends with "connected"

With SUPABASE_URL in the environment nothing is emulated: the same functions talk to the systems that the environment names.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import requests

from tests.emulator.stack import Stack
from tests.emulator.supabase.app import DEMO_EMAIL, DEMO_PASSWORD
from tests.processes import FunctionProcess, free_port, server_process

if TYPE_CHECKING:
    from collections.abc import Iterator

SUPABASE_PORT, PLATFORM_PORT = 54321, 54330
_OURS = ("SUPABASE_", "WPP_", "CORS_", "LOG_LEVEL", "AWS_")


def main(arguments: list[str]) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    command = arguments[0] if arguments else ""
    try:
        if command == "run":
            return _run()
        if command == "demo":
            return _demo()
    except KeyboardInterrupt:
        return 0
    except _CannotStartError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(__doc__, file=sys.stderr)
    return 2


class _CannotStartError(Exception):
    pass


def _run() -> int:
    if os.environ.get("SUPABASE_URL"):
        _require_free(SUPABASE_PORT)
        with server_process(_own_environment(), SUPABASE_PORT, show=True) as server:
            server.wait_until_ready()
            print(f"The functions are at {server.url}/functions/v1/ and talk to {os.environ['SUPABASE_URL']}")
            _wait_for_ctrl_c()
    with _local_stack(show=True) as stack:
        url = stack.supabase_server.url
        token = _sign_in(stack)
        print(
            f"""
  Supabase       {url}        user {DEMO_EMAIL}, password {DEMO_PASSWORD}
  wpp-create     {url}/functions/v1/wpp-create
  wpp-provision  {url}/functions/v1/wpp-provision
  WPP Platform   {stack.platform_server.url}

Connect the demo organization (paste it again to poll):

  curl -s -X POST {url}/functions/v1/wpp-create -H 'Authorization: Bearer {token}'

Play the scan of the QR, with the session of the answer:

  curl -s {stack.platform_server.url}/_emulator/scan -d '{{"session": "client_…"}}'

Ctrl-C ends it all. One JSON line per call follows.
""",
            flush=True,
        )
        _wait_for_ctrl_c()
    return 0


def _demo() -> int:
    with _local_stack(show=False) as stack:
        token = _sign_in(stack)
        print(f"signed in as {DEMO_EMAIL}")
        created = _call(stack, "wpp-create", token)
        print(f"wpp-create:    {created['status']}, session {created['session']}, key {created['apiKey']}")
        provisioned = _call(stack, "wpp-provision", token)
        print(f"wpp-provision: {provisioned['status']}; scan this with WhatsApp:\n")
        _draw(provisioned["qrcode"])
        scan = {"session": provisioned["session"]}
        requests.post(f"{stack.platform_server.url}/_emulator/scan", json=scan, timeout=10).raise_for_status()
        print("\nplayed the scan")
        connected = _call(stack, "wpp-create", token)
        print(f"wpp-create:    {connected['status']}")
        return 0 if connected["status"] == "connected" else 1


@contextmanager
def _local_stack(*, show: bool) -> Iterator[Stack]:
    for port in (SUPABASE_PORT, PLATFORM_PORT):
        _require_free(port)
    functions_port = free_port()
    functions_url = f"http://127.0.0.1:{functions_port}"
    with Stack(supabase_port=SUPABASE_PORT, platform_port=PLATFORM_PORT, functions_url=functions_url) as stack:
        stack.supabase.auth.token_lifetime = 24 * 3600.0  # the printed curl line should outlast a working day
        stack.supabase.seed()
        with server_process(stack.environment() | _own_environment(), functions_port, show=show) as server:
            _wait_until_ready(server)
            yield stack


def _wait_until_ready(server: FunctionProcess) -> None:
    try:
        server.wait_until_ready()
    except RuntimeError as error:
        raise _CannotStartError(str(error)) from error


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise _CannotStartError(
                f"port {port} is in use; stop what listens there (another `make run`, or `supabase start`?)"
            ) from None


def _own_environment() -> dict[str, str]:
    """What the developer set for the functions goes before the local stack's values."""
    return {name: value for name, value in os.environ.items() if name.startswith(_OURS)}


def _sign_in(stack: Stack) -> str:
    """As a web client does it."""
    answer = requests.post(
        f"{stack.supabase_server.url}/auth/v1/token?grant_type=password",
        json={"email": DEMO_EMAIL, "password": DEMO_PASSWORD},
        headers={"apikey": stack.supabase.anon_key},
        timeout=10,
    )
    answer.raise_for_status()
    return str(answer.json()["access_token"])


def _call(stack: Stack, function: str, token: str) -> dict[str, Any]:
    url = f"{stack.supabase_server.url}/functions/v1/{function}"
    answer = requests.post(url, headers={"Authorization": f"Bearer {token}"}, timeout=60)
    body: dict[str, Any] = answer.json()
    if answer.status_code != 200:
        raise _CannotStartError(f"{function} answered {answer.status_code}: {body}")
    return body


def _draw(pairing_text: str) -> None:
    import segno

    segno.make(pairing_text, error="l").terminal(compact=True, border=2)


def _wait_for_ctrl_c() -> None:
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
