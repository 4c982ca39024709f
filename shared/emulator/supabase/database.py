"""One database of a stack: its connections, its transactions, and what is known of its tables."""

from __future__ import annotations

import queue
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from emulator.supabase.postgres.databases import SCHEMA, databases
from emulator.supabase.postgrest.schema import read_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from emulator.supabase.postgrest.schema import SchemaCache

Connection = psycopg.Connection[tuple[Any, ...]]
_CONNECTIONS = 10  # as many as PostgREST has
_TRIGGER = """
create or replace function emulator_set_updated_at() returns trigger language plpgsql
  as $$ begin new.updated_at = now(); return new; end $$;
create or replace trigger emulator_updated_at before update on messenger_integrations
  for each row execute function emulator_set_updated_at();
"""
_DATA_ONLY = ("select", "insert", "update", "delete", "truncate", "with")


class Transaction:
    """One of somebody with a role: what it may do, PostgreSQL decides."""

    def __init__(self, connection: Connection, begin: str, settings: Mapping[str, str]) -> None:
        self._connection = connection
        self._begin: str | None = begin
        self._settings = settings

    def fetch(self, statement: sql.Composable, parameters: Mapping[str, object]) -> tuple[Any, ...]:
        """The only row of a statement. Raises psycopg.Error."""
        if self._begin is None:
            return _only_row(self._connection.execute(statement, parameters))
        begin, self._begin = self._begin, None
        settings = sql.SQL(", ").join(
            sql.SQL("set_config({}, {}, true)").format(sql.Placeholder(f"name{i}"), sql.Placeholder(f"value{i}"))
            for i in range(len(self._settings))
        )
        values = {f"name{i}": name for i, name in enumerate(self._settings)}
        values |= {f"value{i}": value for i, value in enumerate(self._settings.values())}
        with self._connection.pipeline():  # one round trip instead of three
            self._connection.execute(begin)
            self._connection.execute(sql.SQL("select {}").format(settings), values)
            return _only_row(self._connection.execute(statement, parameters))


class Database:
    """A new database with the tables of `ddl`, gone with `close`. `folder` is where the server keeps its data.

    Raises SchemaError, CannotStartServerError.
    """

    def __init__(self, ddl: str | None = None, folder: Path | None = None) -> None:
        self._server = databases(folder)
        self._name, self._schema = self._server.create(SCHEMA if ddl is None else ddl)
        self._changed = threading.Event()
        self._idle: queue.LifoQueue[Connection | None] = queue.LifoQueue()
        for _ in range(_CONNECTIONS):
            self._idle.put(None)
        self._updated_at_trigger = False

    def close(self) -> None:
        for _ in range(_CONNECTIONS):
            connection = self._idle.get()
            if connection is not None:
                connection.close()
        self._server.drop(self._name)

    @property
    def schema(self) -> SchemaCache:
        if self._changed.is_set():
            self._changed.clear()
            with self._connection() as connection:
                self._schema = read_schema(connection)
        return self._schema

    @property
    def updated_at_trigger(self) -> bool:
        """Whether every update sets `updated_at`, as a trigger in many products does."""
        return self._updated_at_trigger

    @updated_at_trigger.setter
    def updated_at_trigger(self, wanted: bool) -> None:
        with self.transaction() as connection:
            connection.execute(
                _TRIGGER if wanted else "drop trigger if exists emulator_updated_at on messenger_integrations"
            )
        self._updated_at_trigger = wanted

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One of the owner's, whom no policy stops; rolled back where the block raises."""
        with self._connection() as connection, connection.transaction():
            yield connection

    def execute(self, statement: str, *parameters: Any) -> None:
        """Anything of the owner's: `%s` stands for a parameter. DDL is known to PostgREST from the next request on."""
        with self.transaction() as connection:
            connection.execute(statement.encode(), parameters or None)
        if not statement.lstrip().lower().startswith(_DATA_ONLY):
            self._changed.set()

    @contextmanager
    def acting(self, settings: Mapping[str, str], *, reads: bool) -> Iterator[Transaction]:
        """A transaction under these settings (`role` among them); rolled back where the block raises."""
        with self._connection() as connection:
            try:
                yield Transaction(connection, "begin read only" if reads else "begin", settings)
            except BaseException:
                connection.rollback()
                raise
            connection.execute("commit")

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        connection = self._idle.get()
        try:
            if connection is None or connection.closed:
                connection = None
                connection = self._server.connect(self._name)
            yield connection
        finally:
            self._idle.put(connection)


def timestamp(seconds: float) -> str:
    """As PostgreSQL puts a timestamptz into JSON: microseconds without trailing zeros."""
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip(".")
    return text + "+00:00"


def _only_row(cursor: psycopg.Cursor[tuple[Any, ...]]) -> tuple[Any, ...]:
    row = cursor.fetchone()
    if row is None:
        raise LookupError("the statement has no row")
    return row
