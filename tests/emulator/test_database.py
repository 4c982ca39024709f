"""PostgreSQL under the stack: it starts fast, ends with its process whatever ends that, and takes a product's own tables."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from emulator.processes import ROOT
from emulator.stack import Stack
from emulator.supabase.postgres.account import Account
from emulator.supabase.postgres.cluster import CannotStartServerError, Cluster, own_server, start
from emulator.supabase.postgres.databases import SCHEMA, SchemaError
from emulator.supabase.postgres.leftovers import PREFIX, TEMPLATE_PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.slow
HOLDS_A_SERVER = """
import sys, time
from pathlib import Path
from emulator.supabase.postgres.account import Account
from emulator.supabase.postgres.cluster import start
cluster = start(Path(sys.argv[1]))
print(cluster.address, flush=True)
time.sleep(60)
"""
DUMP = r"""
\restrict token
SELECT pg_catalog.set_config('search_path', '', false);
CREATE EXTENSION IF NOT EXISTS "uuid-ossp" WITH SCHEMA extensions;
CREATE TYPE public.plan AS ENUM ('free', 'paid');
CREATE TABLE public.organizations (
  id uuid DEFAULT extensions.uuid_generate_v4() PRIMARY KEY, name text NOT NULL, slug text NOT NULL UNIQUE,
  plan public.plan NOT NULL, seats int NOT NULL, tags text[] NOT NULL, since date NOT NULL, owner uuid NOT NULL,
  is_test boolean NOT NULL, extra jsonb NOT NULL);
CREATE TABLE public.profiles (
  id uuid PRIMARY KEY REFERENCES auth.users, organization_id uuid REFERENCES public.organizations);
CREATE FUNCTION public.new_user() RETURNS trigger LANGUAGE plpgsql AS
  $$ begin insert into public.profiles values (new.id); return new; end $$;
CREATE TRIGGER new_user AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION public.new_user();
CREATE TABLE public.messenger_integrations (
  id uuid PRIMARY KEY, organization_id uuid NOT NULL REFERENCES public.organizations, messenger_type varchar(20),
  provider text, name text, is_active bool, is_primary bool, webhook_key text, settings jsonb,
  created_at timestamptz DEFAULT now(), updated_at timestamptz);
ALTER TABLE public.profiles OWNER TO postgres;
ALTER PUBLICATION supabase_realtime ADD TABLE public.profiles;
"""
PATIENCE = 20.0
SUPERVISOR = "supervisor.py"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the account that PostgreSQL runs under can go, too: pytest's own folders are closed to others."""
    for part in [tmp_path, *tmp_path.parents]:
        if part != Path("/tmp") and Path("/tmp") in part.parents:
            part.chmod(0o755)
    return tmp_path / "postgres"


@pytest.fixture
def server(folder: Path) -> Iterator[Cluster]:
    cluster = start(folder)
    yield cluster
    cluster.stop()


def names(cluster: Cluster) -> set[str]:
    with cluster.connect("postgres") as connection:
        return {name for (name,) in connection.execute("select datname from pg_database").fetchall()}


def wait_for(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def holder(folder: Path) -> subprocess.Popen[str]:
    env = os.environ | {"PYTHONPATH": str(ROOT / "shared")}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS_A_SERVER, str(folder)], stdout=subprocess.PIPE, text=True, env=env
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("host=")
    return process


def processes(folder: Path) -> list[int]:
    """The supervisor, then the server itself."""
    listed = subprocess.run(["ps", "-ewwo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    lines = [line.split(None, 2) for line in listed.splitlines() if f"postgres -D {folder}" in line]
    servers = {number for number, _, command in lines if SUPERVISOR not in command}
    lines.sort(key=lambda line: SUPERVISOR not in line[2])
    # What the server has just forked still has its command.
    return [int(number) for number, parent, _ in lines if parent not in servers]


def test_a_second_start_finds_the_data_and_drops_what_a_run_left_behind(folder: Path) -> None:
    first = start(folder)
    with first.connect("postgres") as connection:
        for name in ("kept", f"{PREFIX}left", *(f"{TEMPLATE_PREFIX}{number}" for number in range(5))):
            connection.execute(f"create database {name}".encode())
    first.stop()
    second = start(folder)
    left = {name for name in names(second) if name not in ("postgres", "template0", "template1")}
    second.stop()
    assert left == {"kept", *(f"{TEMPLATE_PREFIX}{number}" for number in (2, 3, 4))}


def test_who_comes_second_gets_a_temporary_server(folder: Path, server: Cluster) -> None:
    other = start(folder)
    try:
        with server.connect("postgres") as connection:
            connection.execute("create database mine")
        assert "mine" not in names(other)
    finally:
        other.stop()


@pytest.mark.parametrize(("room", "is_in_memory"), [(0, True), (1 << 60, False)])
def test_a_temporary_server_is_in_memory_where_there_is_room(
    monkeypatch: pytest.MonkeyPatch, room: int, *, is_in_memory: bool
) -> None:
    monkeypatch.setattr("emulator.supabase.postgres.cluster._ROOM", room)
    with tempfile.TemporaryDirectory() as memory:  # pytest's own is too long for a socket in it
        Path(memory).chmod(0o755)
        monkeypatch.setattr("emulator.supabase.postgres.cluster._MEMORY", Path(memory))
        server = start(None)
        with server.connect("postgres") as connection:
            found = connection.execute("show data_directory").fetchone()
        server.stop()
    assert found is not None
    assert Path(found[0]).is_relative_to(memory) is is_in_memory
    assert not Path(found[0]).exists()


def test_programs_that_its_account_cannot_reach_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container, where root's home has the checkout and PostgreSQL does not run as root."""
    monkeypatch.setattr(Account, "can_reach", lambda account, path: False)
    cluster = start(None)
    with cluster.connect("postgres") as connection:
        found = connection.execute("show data_directory").fetchone()
    cluster.stop()
    assert found is not None
    assert not Path(found[0]).exists()


def test_data_that_cannot_be_used_is_made_anew(folder: Path) -> None:
    start(folder).stop()
    (folder / "global" / "pg_control").write_bytes(b"spoilt")
    cluster = start(folder)
    found = names(cluster)
    cluster.stop()
    assert "postgres" in found


def test_a_server_ends_with_its_process_even_when_that_is_killed(folder: Path) -> None:
    process = holder(folder)
    assert len(processes(folder)) == 2
    process.kill()
    process.communicate()
    wait_for(lambda: processes(folder) == [])


def test_a_supervisor_that_is_killed_leaves_nothing_that_the_next_start_does_not_end(folder: Path) -> None:
    process = holder(folder)
    os.kill(processes(folder)[0], signal.SIGKILL)
    if sys.platform == "linux":  # which tells a server of its parent's end
        wait_for(lambda: processes(folder) == [])
    process.kill()
    process.communicate()
    cluster = start(folder)
    assert len(processes(folder)) == 2
    cluster.stop()
    assert processes(folder) == []


def test_a_server_that_was_left_behind_is_ended_by_the_next_start(folder: Path, server: Cluster) -> None:
    assert server.lock is not None
    server.lock.close()  # as though its process had been killed, and its supervisor were gone as well
    (server_process,) = (number for number in processes(folder) if number == _postmaster(folder))
    other = start(folder)
    try:
        assert "postgres" in names(other)
        assert server_process not in processes(folder)
    finally:
        other.stop()


def _postmaster(folder: Path) -> int:
    return int((folder / "postmaster.pid").read_text().split("\n", 1)[0])


def test_ones_own_server_is_left_as_it_was(folder: Path, server: Cluster) -> None:
    before = names(server)
    code = "from emulator.stack import Stack\nwith Stack() as s: print(len(s.supabase.rows()))"
    env = os.environ | {"DATABASE_URL": server.address, "PYTHONPATH": str(ROOT / "shared")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False)
    assert (done.returncode, done.stdout.split()[0]) == (0, "0"), done.stderr
    assert names(server) == before
    with server.connect("postgres") as connection:  # it was this server
        assert connection.execute("select from pg_roles where rolname = 'service_role'").fetchone() is not None


def test_ones_own_server_must_be_there_and_let_us_in(server: Cluster) -> None:
    with pytest.raises(CannotStartServerError, match="DATABASE_URL"):
        own_server("postgresql://127.0.0.1:1/nothing")
    with server.connect("postgres") as connection:
        connection.execute("create role plain login")
    with pytest.raises(CannotStartServerError, match="superuser"):
        own_server(f"{server.address} user=plain")


def test_every_stack_has_a_database_of_its_own(stack: Stack) -> None:
    with Stack() as other:
        other.supabase.add_user("a@example.com", organization_id="11111111-1111-4111-8111-111111111111")
        other.supabase.insert_row(organization_id="11111111-1111-4111-8111-111111111111", settings={"n": 10**400})
        assert [row["settings"] for row in other.supabase.rows()] == [{"n": 10**400}]
        assert stack.supabase.rows("11111111-1111-4111-8111-111111111111") == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("create table messenger_integrations (", "create table others (", "relation .* does not exist"),
        ("settings jsonb", "settings text", "messenger_integrations.settings is text, not jsonb"),
        ("  is_primary boolean default false,\n", "", "there is no column messenger_integrations.is_primary"),
        ("uuid references organizations (id)", "uuid", "profiles has no foreign key to organizations"),
        ("create policy", "create nonsense", r"^line \d+: syntax error at or near"),
    ],
)
def test_tables_that_do_not_fit_are_told_in_one_line(old: str, new: str, problem: str) -> None:
    assert old in SCHEMA
    with pytest.raises(SchemaError, match=problem) as raised:
        Stack(schema=SCHEMA.replace(old, new))
    assert "\n" not in str(raised.value)


def test_all_that_does_not_fit_is_told_at_once() -> None:
    with pytest.raises(SchemaError, match=r"there is no table organizations; there is no table profiles"):
        Stack(schema="create table messenger_integrations (id uuid primary key)")


def test_a_products_dump_is_loaded_and_its_own_columns_are_filled() -> None:
    with Stack(schema=DUMP) as stack:
        stack.supabase.seed()
        stack.supabase.add_user("second@example.com", organization_id="22222222-2222-4222-8222-222222222222")
        found = stack.supabase.database.query(
            "select count(*) from public.profiles where organization_id is not null", {}
        )
        assert found == [(2,)]


@pytest.mark.parametrize("trigger", [True, False])
def test_a_trigger_sets_updated_at_where_the_product_has_one(trigger: bool) -> None:
    organization = "11111111-1111-4111-8111-111111111111"
    with Stack() as stack:
        stack.supabase.add_user("a@example.com", organization_id=organization)
        stack.supabase.insert_row(organization_id=organization)
        stack.supabase.database.updated_at_trigger = trigger
        stack.supabase.execute("update messenger_integrations set updated_at = '2031-01-01'")
        (row,) = stack.supabase.rows()
        assert row["updated_at"].startswith("2031") is not trigger


def test_what_raises_in_a_transaction_is_rolled_back(stack: Stack) -> None:
    def insert_twice() -> None:
        with stack.supabase.database.transaction() as connection:
            for _ in range(2):
                connection.execute("insert into organizations (id) values ('33333333-3333-4333-8333-333333333333')")

    with pytest.raises(psycopg.errors.UniqueViolation):
        insert_twice()
    found = "select from organizations where id = '33333333-3333-4333-8333-333333333333'"
    assert stack.supabase.database.query(found, {}) == []
