"""Databases for stacks: each a copy of a template that has the schema, as copying takes milliseconds."""

from __future__ import annotations

import atexit
import hashlib
import os
import re
import secrets
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from emulator.supabase.fit import misfits
from emulator.supabase.postgres.cluster import Cluster, own_server, start
from emulator.supabase.postgres.leftovers import PREFIX, TEMPLATE_PREFIX
from emulator.supabase.postgrest.schema import SchemaCache, read_schema

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEMA = (Path(__file__).parents[2] / "schema.sql").read_text()
"""The DDL of the tables where a product's own is not given."""
_SUPABASE = (Path(__file__).parents[1] / "supabase.sql").read_text()
_EXTENSION = re.compile(
    r'^\s*create\s+extension\s+(?:if\s+not\s+exists\s+)?"?([\w-]+)"?[^;]*;', re.IGNORECASE | re.MULTILINE
)
_META_COMMAND = re.compile(r"^\\.*$", re.MULTILINE)  # of psql, in a dump


class SchemaError(Exception):
    """The DDL cannot be loaded, or the functions could not work with its tables. Its text is one line."""


class Databases:
    """Those of this process, on one cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._lock = threading.Lock()
        self._maintenance = cluster.connect("postgres") if cluster.is_ours else cluster.connect_as_given()
        # Another process that uses the same server has templates of its own: it may drop them at any time.
        self._token = "" if cluster.is_ours else secrets.token_hex(4) + "_"
        self._templates: dict[str, SchemaCache] = {}
        self._dropped: list[str] = []

    def create(self, ddl: str) -> tuple[str, SchemaCache]:
        """A new database with the tables of `ddl`: its name, and its schema. Raises SchemaError."""
        template = f"{TEMPLATE_PREFIX}{self._token}{_fingerprint(_SUPABASE + ddl)}"
        name = f"{PREFIX}{self._token}{secrets.token_hex(6)}"
        with self._lock:
            self._really_drop()
            if template not in self._templates:
                self._templates[template] = self._template(template, ddl)
            copy = sql.SQL("create database {} template {} strategy file_copy")
            self._maintenance.execute(copy.format(sql.Identifier(name), sql.Identifier(template)))
            return name, self._templates[template]

    def connect(self, name: str) -> psycopg.Connection[tuple[Any, ...]]:
        return self._cluster.connect(name, options="-c search_path=public,extensions")

    def drop(self, name: str) -> None:
        """Soon: PostgreSQL would wait 0.1 s for a connection that has just been closed."""
        with self._lock:
            self._dropped.append(name)

    def begin_in_child(self) -> None:
        """In a process that was forked from the one that began: a connection cannot be shared."""
        self._lock = threading.Lock()
        self._maintenance = self._cluster.connect("postgres")

    def drop_at_once(self, name: str) -> None:
        """One of a child's that has ended."""
        with self._lock:
            self._drop(name)

    def close(self) -> None:
        if not self._cluster.is_ours:
            self._dropped += self._templates
            self._really_drop()
        self._maintenance.close()
        self._cluster.stop()

    def _template(self, name: str, ddl: str) -> SchemaCache:
        found = self._maintenance.execute("select from pg_database where datname = %s", [name]).fetchone()
        if found is not None:  # of an earlier run; it was renamed only when it was whole
            with self.connect(name) as connection:
                return read_schema(connection)
        unfinished = f"{PREFIX}{self._token}template"
        self._drop(unfinished)
        self._maintenance.execute(sql.SQL("create database {} template template0").format(sql.Identifier(unfinished)))
        try:
            schema = self._loaded(unfinished, ddl)
        except SchemaError:
            self._drop(unfinished)
            raise
        rename = sql.SQL("alter database {} rename to {}")
        self._maintenance.execute(rename.format(sql.Identifier(unfinished), sql.Identifier(name)))
        return schema

    def _loaded(self, name: str, ddl: str) -> SchemaCache:
        available = {str(found) for (found,) in self._maintenance.execute("select name from pg_available_extensions")}
        with self.connect(name) as connection:
            connection.execute(_SUPABASE.encode())
            text = _loadable(ddl, available.__contains__)
            try:
                connection.execute(text.encode())
            except psycopg.Error as error:
                raise SchemaError(_in_one_line(error, text)) from error
            schema = read_schema(connection)
        problems = misfits(schema)
        if problems:
            raise SchemaError("; ".join(problems))
        return schema

    def _really_drop(self) -> None:
        while self._dropped:
            self._drop(self._dropped.pop())

    def _drop(self, name: str) -> None:
        self._maintenance.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


def databases(folder: Path | None = None) -> Databases:
    """This process's: on the server that DATABASE_URL names, or on one of ours with its data in `folder`.

    The first call decides, and the server ends with the process. Raises CannotStartServerError.
    """
    with _starting:
        if not _started:
            url = os.environ.get("DATABASE_URL")
            _started.append(Databases(own_server(url) if url else start(folder)))
            atexit.register(_started[0].close)
        return _started[0]


_starting = threading.Lock()
_started: list[Databases] = []


def _loadable(ddl: str, is_available: Callable[[str], bool]) -> str:
    """Without what only psql understands, and without extensions that are not there: what needs them says so itself."""

    def kept(match: re.Match[str]) -> str:
        return match[0] if is_available(match[1]) else "\n" * match[0].count("\n")

    return _EXTENSION.sub(kept, _META_COMMAND.sub("", ddl))


def _in_one_line(error: psycopg.Error, ddl: str) -> str:
    message = error.diag.message_primary or str(error).strip().splitlines()[0]
    position = error.diag.statement_position
    line = f"line {ddl.count(chr(10), 0, int(position) - 1) + 1}: " if position else ""
    return line + message


def _fingerprint(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
