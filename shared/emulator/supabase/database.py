"""The product's tables on SQLite: uniqueness, foreign keys and concurrent writers are the database's own."""

from __future__ import annotations

import json
import queue
import secrets
import sqlite3
import tempfile
import uuid
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.clock import Clock

ColumnType = Literal["uuid", "text", "boolean", "jsonb", "timestamptz"]
TABLES: dict[str, dict[str, ColumnType]] = {
    "organizations": {"id": "uuid", "name": "text", "created_at": "timestamptz"},
    "profiles": {"id": "uuid", "organization_id": "uuid", "full_name": "text", "created_at": "timestamptz"},
    "messenger_integrations": {
        "id": "uuid",
        "organization_id": "uuid",
        "messenger_type": "text",
        "provider": "text",
        "name": "text",
        "is_active": "boolean",
        "is_primary": "boolean",
        "webhook_key": "text",
        "settings": "jsonb",
        "created_at": "timestamptz",
        "updated_at": "timestamptz",
    },
}
FOREIGN_KEYS = {
    ("profiles", "organization_id"): "organizations",
    ("messenger_integrations", "organization_id"): "organizations",
}
_SCHEMA = """
create table organizations (id text primary key not null, name text, created_at text not null);
create table profiles (
  id text primary key not null, organization_id text references organizations (id), full_name text, created_at text not null
);
create table messenger_integrations (
  id text primary key not null,
  organization_id text not null references organizations (id) on delete cascade,
  messenger_type text not null, provider text not null, name text,
  is_active integer not null, is_primary integer not null, webhook_key text unique,
  settings text not null, created_at text not null, updated_at text
);
create index integrations_of_organization on messenger_integrations (organization_id);
"""
_CONNECTIONS = 4


class Database:
    """A file of its own, gone with `close`."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.updated_at_trigger = False
        """Whether every update sets `updated_at`, as a trigger in many products does."""
        self._folder = tempfile.TemporaryDirectory(prefix="wpp-emulator-")
        self._idle: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()
        for _ in range(_CONNECTIONS):
            self._idle.put(self._connect())
        with self.transaction() as connection:
            connection.executescript(_SCHEMA)

    def close(self) -> None:
        for _ in range(_CONNECTIONS):
            self._idle.get().close()
        self._folder.cleanup()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One writing transaction, rolled back where the block raises."""
        connection = self._idle.get()
        try:
            connection.execute("begin immediate")
            try:
                yield connection
            except BaseException:
                connection.rollback()
                raise
            connection.commit()
        finally:
            self._idle.put(connection)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        connection = self._idle.get()
        try:
            yield connection
        finally:
            self._idle.put(connection)

    def defaults(self, table: str) -> dict[str, Any]:
        """What a new row has where the insert says nothing."""
        now = timestamp(self.clock.now())
        values: dict[str, Any] = {"id": str(uuid.uuid4()), "created_at": now}
        if table == "messenger_integrations":
            values |= {"is_active": 1, "is_primary": 0, "settings": "{}", "updated_at": now}
            values["webhook_key"] = secrets.token_hex(16)
        return values

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            Path(self._folder.name) / "supabase.db", timeout=30, isolation_level=None, check_same_thread=False
        )
        connection.row_factory = sqlite3.Row
        connection.executescript("pragma journal_mode = wal; pragma synchronous = off; pragma foreign_keys = on;")
        return connection


def timestamp(seconds: float) -> str:
    """As PostgreSQL puts a timestamptz into JSON: microseconds without trailing zeros."""
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip(".")
    return text + "+00:00"


def stored(value: Any, kind: ColumnType) -> Any:
    """A JSON value as its column keeps it. Raises ValueError for one that the column's type does not take."""
    if value is None:
        return None
    if kind == "jsonb":
        return json.dumps(value, separators=(",", ":"))
    if kind == "boolean":
        words = {True: 1, False: 0, "true": 1, "false": 0, "t": 1, "f": 0}
        if not isinstance(value, (bool, str)) or value not in words:
            raise ValueError(f'invalid input syntax for type boolean: "{value}"')
        return words[value]
    text = value if isinstance(value, str) else json.dumps(value)
    if kind == "uuid":
        try:
            return str(uuid.UUID(text))
        except ValueError:
            raise ValueError(f'invalid input syntax for type uuid: "{text}"') from None
    if kind == "timestamptz":
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(f'invalid input syntax for type timestamp with time zone: "{text}"') from None
        return timestamp((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    return text


def shown(value: Any, kind: ColumnType) -> Any:
    """A stored value as JSON has it."""
    if value is None:
        return None
    if kind == "jsonb":
        return json.loads(value)
    return bool(value) if kind == "boolean" else value
