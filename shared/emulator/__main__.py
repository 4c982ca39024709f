"""The local stack with the functions behind one address, as the Supabase CLI serves them."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import requests

from emulator import terminal
from emulator.local import CannotStartError, Local, local_stack, own_environment, require_free, served
from emulator.supabase.app import DEMO_EMAIL, DEMO_ORGANIZATION, DEMO_PASSWORD
from emulator.terminal import say, styled

if TYPE_CHECKING:
    from collections.abc import Callable

PORT = 54321
_HIGHEST_PORT = 65535 - 9
_NOT_EXECUTABLE, _NOT_FOUND, _INTERRUPTED = 126, 127, 130  # as in a shell


def main(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a script ignore it otherwise
    # A plain kill and a closed terminal end the block below like Ctrl-C, and so every process in it.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    for name in ("no_proxy", "NO_PROXY"):  # no proxy for what runs on this machine
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1"]))
    try:
        return int(options.act(options))
    except KeyboardInterrupt:
        return 0 if options.act is _run else _INTERRUPTED
    except CannotStartError as error:
        terminal.complain(str(error))
        return 1


def _run(options: argparse.Namespace) -> int:
    is_wanted = _starter()
    if os.environ.get("SUPABASE_URL"):
        require_free(options.port)
        _require_config()
        with served(own_environment(), options.port, show=True) as server:
            say(f"The functions are at {server.url}/functions/v1/ and talk to {os.environ['SUPABASE_URL']}")
            _wait_for_ctrl_c(is_wanted)
    with local_stack(options.port, show=True, own=own_environment(), schema_file=options.schema) as local:
        say(_described(local))
        _wait_for_ctrl_c(is_wanted)


def _demo(options: argparse.Namespace) -> int:
    from wpp.cli.result import draw  # here, so that `run` reports code that cannot be loaded in one line

    with local_stack(options.port, show=False, own=own_environment()) as local:
        done = styled("✓", "green")
        say(f"{done} started {local.url}")
        say(f"{done} signed in as {DEMO_EMAIL}")
        created = _call(local, "wpp-create")
        say(f"{done} wpp-create: {created['status']}, session {created['session']}, key {created['apiKey']}")
        with terminal.progress("  wpp-provision: waiting for a QR"):
            provisioned = _call(local, "wpp-provision")
        say(f"{done} wpp-provision: {provisioned['status']}; scan this with WhatsApp:\n")
        draw(provisioned["qrcode"])
        scan = {"session": provisioned["session"]}
        platform = local.stack.platform_server.url
        requests.post(f"{platform}/_emulator/scan", json=scan, timeout=10).raise_for_status()
        say(f"\n{done} played the scan")
        status = _call(local, "wpp-create")["status"]
        connected = status == "connected"
        say(f"{done if connected else styled('✗', 'red')} wpp-create: {status}")
        return 0 if connected else 1


def _exec(options: argparse.Namespace) -> int:
    """The command's exit status; 126 or 127 if it cannot be run, 128 + n if signal n ended it."""
    program = shutil.which(options.command[0])
    if program is None:
        found = Path(options.command[0]).exists()
        terminal.complain(f"{options.command[0]} {'cannot be executed' if found else 'is not found'}")
        return _NOT_EXECUTABLE if found else _NOT_FOUND
    with local_stack(options.port, show=False, own={}) as local:
        try:
            command = subprocess.Popen([program, *options.command[1:]], env=os.environ | local.environment())
        except OSError as error:  # a script whose first line names no interpreter, or a wrong one
            terminal.complain(f"{options.command[0]} cannot be executed: {error.strerror}")
            return _NOT_EXECUTABLE
        # The command gets the same Ctrl-C, and ends when it wants to. Ignored, it would be for the command too; as an exception
        # in the middle of wait(), it can lose the status.
        signal.signal(signal.SIGINT, lambda *_: None)
        try:
            status = command.wait()
        finally:
            if command.poll() is None:
                command.terminate()
                command.wait()
        return status if status >= 0 else 128 - status


def _described(local: Local) -> str:
    url, platform = local.url, local.stack.platform_server.url
    functions = requests.get(f"{local.server.url}/healthz", timeout=10).json()["functions"]
    lines = [("open this", f"{url}/")]
    lines += [(name.replace("_", "-"), f"{local.functions_url}/{name.replace('_', '-')}") for name in functions]
    lines += [
        ("API, to try", f"{url}/docs"),
        ("Supabase", url),
        ("WPP Platform", platform),
        ("user", f"{DEMO_EMAIL}, password {DEMO_PASSWORD}"),
        ("organization", DEMO_ORGANIZATION),
    ]
    table = "\n".join(f"  {styled(name, 'cyan')}{' ' * (15 - len(name))}{value}" for name, value in lines)
    return f"""
{styled("The local stack is ready", "bold")}

{table}

Connect the demo organization (paste it again to poll):

  curl -s -X POST {local.functions_url}/wpp-create -H 'Authorization: Bearer {local.token}'

Play the scan of the QR, with the session of the answer:

  curl -s {platform}/_emulator/scan -d '{{"session": "client_…"}}'

{styled("Changes of the code are picked up. Ctrl-C ends it all. One line per call follows.", "dim")}
"""


def _call(local: Local, function: str) -> dict[str, Any]:
    url = f"{local.functions_url}/{function}"
    answer = requests.post(url, headers={"Authorization": f"Bearer {local.token}"}, timeout=60)
    body: dict[str, Any] = answer.json()
    if answer.status_code != 200:
        raise CannotStartError(f"{function} answered {answer.status_code}: {body}")
    return body


def _require_config() -> None:
    from wpp.config import config_from  # here, as in _demo
    from wpp.errors import NotConfigured

    try:
        config_from()
    except NotConfigured as error:
        raise CannotStartError(str(error)) from error


def _starter() -> Callable[[], bool]:
    """Tells whether the terminal and the `make` that are there now are still there.

    Behind `make`, only `make` is told that the terminal closes; and a `make` that is killed tells nobody.
    """
    has_terminal, has_make, parent = os.isatty(0), "MAKELEVEL" in os.environ, os.getppid()
    return lambda: (os.isatty(0) or not has_terminal) and (os.getppid() == parent or not has_make)


def _wait_for_ctrl_c(is_wanted: Callable[[], bool]) -> NoReturn:
    while is_wanted():
        time.sleep(1)
    sys.exit(128 + signal.SIGHUP)


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= _HIGHEST_PORT:
        raise argparse.ArgumentTypeError(f"{port} is not between 0 and {_HIGHEST_PORT}")
    return port


_port.__name__ = "port"  # its name in argparse's messages


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m emulator", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, act: Any, port: int, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.add_argument(
            "--port", type=_port, default=port, help="of Supabase; the platform's is 9 above; 0: any free ones"
        )
        added.set_defaults(act=act)
        return added

    real = "; with SUPABASE_URL set, the functions alone, talking to the systems that the environment names"
    run = command("run", _run, PORT, f"serve until Ctrl-C{real}")
    run.add_argument("--schema", type=Path, metavar="FILE", help="SQL with the product's own tables, in place of ours")
    command("demo", _demo, 0, 'sign in, connect, draw the QR, play the scan, end with "connected"')
    execute = command("exec", _exec, 0, "run a command with the stack's addresses and keys in its environment")
    execute.add_argument("command", nargs="+", metavar="COMMAND", help="after `--`; its exit status is the result")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
