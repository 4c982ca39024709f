"""The local stack with the functions behind one address, and a user who is signed in: what `run`, `demo` and `exec` start."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import requests

from emulator.code import Code, reason
from emulator.page.app import Page
from emulator.processes import ROOT, FunctionProcess, free_port, server_process
from emulator.reloader import Reloader
from emulator.stack import Stack
from emulator.supabase.app import DEMO_EMAIL, DEMO_ORGANIZATION, DEMO_PASSWORD
from emulator.supabase.postgres.cluster import CannotStartServerError
from emulator.supabase.postgres.databases import SchemaError
from emulator.terminal import complain, is_terminal, log_line, say
from emulator.watcher import Watcher

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import IO

_OURS = ("SUPABASE_", "WPP_", "CORS_", "LOG_LEVEL", "AWS_", "FUNCTIONS_DIR")
_START_SECONDS = 60.0
_TOKEN_LIFETIME = 24 * 3600.0  # seconds: what is printed should outlast a working day


class CannotStartError(Exception):
    """Its text is one line that says what to do."""


@dataclass(frozen=True)
class Local:
    stack: Stack
    server: FunctionProcess
    token: str
    """The demo user's access token."""

    @property
    def url(self) -> str:
        return self.stack.supabase_server.url

    @property
    def functions_url(self) -> str:
        return f"{self.url}/functions/v1"

    def environment(self) -> dict[str, str]:
        """For a program that uses the stack."""
        return self.stack.environment() | {
            "FUNCTIONS_URL": self.functions_url,
            "USER_EMAIL": DEMO_EMAIL,
            "USER_PASSWORD": DEMO_PASSWORD,
            "USER_ACCESS_TOKEN": self.token,
            "ORGANIZATION_ID": DEMO_ORGANIZATION,
        }


@contextmanager
def local_stack(port: int, *, show: bool, own: Mapping[str, str], schema_file: Path | None = None) -> Iterator[Local]:
    """Supabase with the functions on `port` and the platform on the one 9 above it, or both on free ones for 0.

    The functions get `own` too, except for what would have them call other systems. With `show` their log is printed, and changed
    code is picked up.
    `schema_file` holds a product's tables in place of ours. Raises CannotStartError.
    """
    ports = (port, port + 9) if port else (0, 0)
    for wanted in ports:
        require_free(wanted)
    functions_port = free_port()
    functions_url = f"http://127.0.0.1:{functions_port}"
    with _seeded(ports, functions_url, schema_file) as stack:
        stack.supabase.auth.token_lifetime = _TOKEN_LIFETIME
        stack.supabase.page = Page(stack).answer
        with served({**own, **stack.environment()}, functions_port, show=show) as server:
            yield Local(stack, server, _sign_in(stack))


def _seeded(ports: tuple[int, int], functions_url: str, schema_file: Path | None) -> Stack:
    try:
        stack = Stack(
            supabase_port=ports[0],
            platform_port=ports[1],
            functions_url=functions_url,
            schema=None if schema_file is None else schema_file.read_text("utf-8"),
            folder=ROOT / ".local" / "postgres",
        )
        stack.supabase.seed()
    except OSError as error:
        raise CannotStartError(f"the schema cannot be read: {reason(error)}") from error
    except UnicodeDecodeError as error:
        raise CannotStartError(f"{schema_file} is not UTF-8") from error
    except SchemaError as error:
        raise CannotStartError(f"{schema_file or 'schema.sql'}: {error}") from error
    except CannotStartServerError as error:
        raise CannotStartError(str(error)) from error
    return stack


@contextmanager
def served(env: Mapping[str, str], port: int, *, show: bool) -> Iterator[FunctionProcess]:
    """The functions under the product's server, ready. Raises CannotStartError."""
    folder = functions_folder(env)
    if not folder.is_dir():
        raise CannotStartError(f"FUNCTIONS_DIR must be the folder with the functions; {folder} is not a folder")
    with ExitStack() as stack:
        code = stack.enter_context(Code(folder))
        watcher = Watcher(code.sources.values())
        try:
            first = code.copied()
        except OSError as error:
            raise CannotStartError(f"the code cannot be read: {reason(error)}") from error
        code.serve(first)
        output = stack.enter_context(_printed(code)) if show else None
        # Python takes compiled code for the source's if size and whole second are the same, as after two quick saves.
        env = {**env, **code.environment(), "PYTHONDONTWRITEBYTECODE": "1"}
        started = server_process(
            env, port, show=output or show, configuration=code.server_configuration, guarded=code.folder
        )
        server = stack.enter_context(started)
        try:
            _wait_until_it_serves(server)
        except RuntimeError as error:
            raise CannotStartError(code.problem(first) or str(error)) from error
        if show:
            stack.callback(watcher.wait)
            stack.callback(code.end)
            stack.callback(watcher.stop)
            problem = code.problem(first)
            if problem:
                complain(f"{problem} (it is not served until it is mended)")
            Reloader(watcher, code, server).start()
        yield server


def _wait_until_it_serves(server: FunctionProcess) -> None:
    """Listening is not enough: gunicorn does that before it has loaded anything. Raises RuntimeError."""
    server.wait_until_ready()
    give_up = time.monotonic() + _START_SECONDS
    while not server.ended and time.monotonic() < give_up:
        try:
            requests.get(f"{server.url}/healthz", timeout=5)
        except requests.RequestException:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("the functions' server does not serve what it should load")


def own_environment() -> dict[str, str]:
    """What the developer has set for the functions."""
    return {name: value for name, value in os.environ.items() if name.startswith(_OURS)}


def functions_folder(env: Mapping[str, str]) -> Path:
    return (ROOT / (env.get("FUNCTIONS_DIR") or "functions")).resolve()


def require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise CannotStartError(
                f"port {port} is in use, perhaps by another `make run` or by the Supabase CLI (`supabase stop` ends that): "
                "end it, or take other ports, any free ones with `make run PORT=0`"
            ) from None


@contextmanager
def _printed(code: Code) -> Iterator[IO[bytes] | None]:
    """A file whose lines are printed for a person to read; None outside a terminal, where a log stays JSON."""
    if not is_terminal():
        yield None
        return
    reading, writing = os.pipe()

    def show() -> None:
        with open(reading, encoding="utf-8", errors="replace") as lines:  # noqa: PTH123 - a descriptor, no path
            for line in lines:
                shown = log_line(line)
                if shown is not None:
                    say(code.with_source_paths(shown))

    printing = threading.Thread(target=show, daemon=True)
    printing.start()
    with open(writing, "wb") as output:  # noqa: PTH123
        yield output
    printing.join(1)


def _sign_in(stack: Stack) -> str:
    """An access token, as a web client gets it."""
    answer = requests.post(
        f"{stack.supabase_server.url}/auth/v1/token?grant_type=password",
        json={"email": DEMO_EMAIL, "password": DEMO_PASSWORD},
        headers={"apikey": stack.supabase.anon_key},
        timeout=10,
    )
    answer.raise_for_status()
    return str(answer.json()["access_token"])
