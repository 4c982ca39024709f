"""One database of a stack: its connections, its transactions, and what is known of its tables."""

from __future__ import annotations

import queue
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg

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
_SETTINGS = "select set_config(name, value, true) from unnest(%s::text[], %s::text[]) setting (name, value)"
_DATA_ONLY = ("select", "insert", "update", "delete", "truncate", "with")


class Transaction:
    """One of somebody with a role: what it may do, PostgreSQL decides."""

    def __init__(self, connection: Connection, settings: Mapping[str, str], *, reads: bool) -> None:
        self._connection = connection
        self._settings = dict(settings)
        self._reads = reads
        self._begun = False

    def fetch(self, statement: str, parameters: Mapping[str, object]) -> tuple[Any, ...]:
        """The only row of a statement. Raises psycopg.Error."""
        query = statement.encode()
        if self._begun:
            return _only_row(self._connection.execute(query, parameters))
        # One round trip. What is sent together and without BEGIN is a transaction too, so one that reads needs no COMMIT.
        with self._connection.pipeline():
            if not self._reads:
                self._begun = True
                self._connection.execute("begin")
            self._connection.execute(_SETTINGS, [list(self._settings), list(self._settings.values())])
            return _only_row(self._connection.execute(query, parameters))

    def end(self) -> None:
        if self._begun:
            self._connection.execute("commit")

    def abandon(self) -> None:
        self._connection.rollback()


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

    def query(self, statement: str, parameters: Mapping[str, object]) -> list[tuple[Any, ...]]:
        """The rows of one statement of the owner's."""
        with self._connection() as connection:
            return connection.execute(statement.encode(), parameters).fetchall()

    @contextmanager
    def acting(self, settings: Mapping[str, str], *, reads: bool) -> Iterator[Transaction]:
        """A transaction under these settings (`role` among them); rolled back where the block raises."""
        with self._connection() as connection:
            transaction = Transaction(connection, settings, reads=reads)
            try:
                yield transaction
            except BaseException:
                transaction.abandon()
                raise
            transaction.end()

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
