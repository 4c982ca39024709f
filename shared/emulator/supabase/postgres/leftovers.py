"""What a run that was killed can leave behind: a server on the same data, and databases in it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg import sql

if TYPE_CHECKING:
    import psycopg

PREFIX = "wpp_stack_"
SOCKETS_PREFIX = "wpp-postgres-"
TEMPLATE_PREFIX = "wpp_template_"
_TEMPLATES_KEPT = 3  # of the schemas used last
_PATIENCE = 10.0  # seconds


def end_stale_server(data: Path) -> None:
    """Ends a server whose supervisor was killed too. Call it only with the lock on `data`: then nobody uses that server."""
    try:
        number, _, _, _, sockets, *_ = (data / "postmaster.pid").read_text().split("\n")
        server = int(number)
    except (OSError, ValueError):
        return
    give_up = time.monotonic() + _PATIENCE
    while _is_server(server, data):
        late = time.monotonic() > give_up
        os.kill(server, signal.SIGKILL if late else signal.SIGQUIT)
        time.sleep(0.05)
    (data / "postmaster.pid").unlink(missing_ok=True)
    if Path(sockets).name.startswith(SOCKETS_PREFIX):
        shutil.rmtree(sockets, ignore_errors=True)


def drop_leftovers(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    """Drops the databases of earlier runs, but not the last templates: they are what makes a second start fast."""
    with connection:
        found = connection.execute("select datname from pg_database order by oid desc").fetchall()
        names = [name for (name,) in found]
        templates = [name for name in names if name.startswith(TEMPLATE_PREFIX)][_TEMPLATES_KEPT:]
        for name in templates + [name for name in names if name.startswith(PREFIX)]:
            connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def _is_server(number: int, data: Path) -> bool:
    """Whether that process is a server on this folder: numbers are used again."""
    command = _command(number)
    return "postgres" in command and str(data) in command


def _command(number: int) -> str:
    try:
        return Path(f"/proc/{number}/cmdline").read_text(errors="replace")
    except OSError:
        if Path("/proc/self").exists():
            return ""
    # macOS has no /proc, as small containers have no ps.
    listed = subprocess.run(
        ["ps", "-ww", "-o", "command=", "-p", str(number)], capture_output=True, text=True, check=False
    )
    return listed.stdout
