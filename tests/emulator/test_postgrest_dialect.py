"""PostgREST's dialect beyond the recordings, as its documentation has it (version 14)."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import requests

from emulator.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA = """
create type mood as enum ('glad', 'sad');
create table organizations (id uuid primary key default gen_random_uuid(), name text);
create table profiles (
  id uuid primary key, organization_id uuid references organizations, second_id uuid references organizations, email text
);
create table messenger_integrations (
  id uuid primary key default gen_random_uuid(), organization_id uuid not null references organizations, messenger_type text,
  provider text, name text, is_active boolean, is_primary boolean, webhook_key text, settings jsonb,
  created_at timestamptz default now(), updated_at timestamptz default now()
);
create table things (
  id int primary key, name text default 'thing', tags text[], span int4range, mood mood, settings jsonb, price numeric,
  parent_id int references things
);
create table labels (name text primary key);
create table thing_labels (thing int references things, label text references labels, primary key (thing, label));
create table passports (id int primary key references things, country text);
create table notes (id int primary key, author uuid, text text);
alter table notes enable row level security;
create policy "one's own" on notes using (author = auth.uid());
create view glad_things as select id, name from things where mood = 'glad';
"""
OBJECT = "application/vnd.pgrst.object+json"


class Api:
    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.token = stack.supabase.service_role_key

    def send(self, method: str, query: str, body: Any = None, **headers: str) -> requests.Response:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        keys = {"apikey": self.stack.supabase.anon_key, "Authorization": f"Bearer {self.token}"}
        url = f"{self.stack.supabase_server.url}/rest/v1/{query}"
        return requests.request(method, url, json=body, headers=keys | names, timeout=10)

    def get(self, query: str, **headers: str) -> Any:
        answer = self.send("GET", query, **headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def names(self, filters: str) -> list[str]:
        return [row["name"] for row in self.get(f"things?select=name&order=id&{filters}")]


@pytest.fixture(scope="module")
def _own_stack() -> Iterator[Stack]:
    with Stack(schema=SCHEMA) as stack:
        yield stack


@pytest.fixture
def api(_own_stack: Stack) -> Api:
    _own_stack.supabase.execute(
        """
        truncate things, labels, thing_labels, passports, notes cascade;
        insert into things (id, name, tags, span, mood, settings, price, parent_id) values
          (1, 'ann', '{a,b}', '[1,5)', 'glad', '{"n": 1, "list": [10, 20], "in": {"x": "y"}}', 1.50, null),
          (2, 'bob', '{b,c}', '[5,9)', 'sad', '{"n": 2}', 2, 1),
          (3, 'Ида', null, null, null, null, null, 1);
        insert into labels values ('red'), ('blue');
        insert into thing_labels values (1, 'red'), (1, 'blue'), (2, 'red');
        insert into passports values (1, 'FR')
        """
    )
    return Api(_own_stack)


def error(answer: requests.Response) -> tuple[int, str]:
    body = answer.json()
    assert set(body) == {"code", "message", "details", "hint"}
    return answer.status_code, body["code"]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ("tags=cs.{a}", ["ann"]),
        ("tags=cd.{a,b,z}", ["ann"]),
        ("tags=ov.{c,z}", ["bob"]),
        ("span=sl.[6,7)", ["ann"]),
        ("span=adj.[9,12)", ["bob"]),
        ("mood=eq.glad", ["ann"]),
        ("mood=isdistinct.glad", ["bob", "Ида"]),
        ("mood=is.not_null", ["ann", "bob"]),
        ("mood=not.is.null", ["ann", "bob"]),
        ("name=match.^a", ["ann"]),
        ("name=imatch.^B", ["bob"]),
        ("name=ilike.и*", ["Ида"]),
        ("name=like(any).{a*,b*}", ["ann", "bob"]),
        ("name=like(all).{*n*,a*}", ["ann"]),
        ("id=eq(any).{1,3}", ["ann", "Ида"]),
        ('name=in.("ann","b,ob","Ида")', ["ann", "Ида"]),
        ("id=in.()", []),
        ("name=fts.ann", ["ann"]),
        ("name=plfts(english).bob", ["bob"]),
        ("settings->list->1=eq.20", ["ann"]),
        ("settings->list->>-1=eq.20", ["ann"]),
        ("settings->in->>x=eq.y", ["ann"]),
        ("or=(id.eq.1,and(id.gt.1,name.eq.bob))", ["ann", "bob"]),
        ("not.or=(id.eq.1,id.eq.2)", ["Ида"]),
        ("and=(id.gt.1,not.and(name.eq.bob,id.eq.2))", ["Ида"]),
        ('or=(name.eq."a,nn",name.in.(ann,"x y"))', ["ann"]),
        ("or=(tags.cs.{a,b},id.eq.3)", ["ann", "Ида"]),
        ("price=gte.1.5&price=lt.2", ["ann"]),
        ("name=eq.", []),
        ("limit=0", []),
        ("offset=2", ["Ида"]),
    ],
)
def test_filters(api: Api, filters: str, expected: list[str]) -> None:
    assert api.names(filters) == expected


@pytest.mark.parametrize(
    ("select", "row"),
    [
        ("id::text,price", {"id": "1", "price": 1.50}),
        ("label:name", {"label": "ann"}),
        ("settings->list->0", {"list": 10}),
        ("settings->in,last:settings->list->>-1", {"in": {"x": "y"}, "last": "20"}),
        ("n:settings->>n::int", {"n": 1}),
        ("tags->0", {"tags": "a"}),
        ("id,labels(name)", {"id": 1, "labels": [{"name": "red"}, {"name": "blue"}]}),
        ("id,passports(country)", {"id": 1, "passports": {"country": "FR"}}),
        ("id,...passports(country)", {"id": 1, "country": "FR"}),
        ("id,...labels(label:name)", {"id": 1, "label": ["red", "blue"]}),
        ("id,labels()", {"id": 1}),
    ],
)
def test_what_is_selected(api: Api, select: str, row: dict[str, Any]) -> None:
    assert api.get(f"things?id=eq.1&select={select}") == [row]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("passports!inner(country)", ["ann"]),
        ("passports(country)&passports=is.null", ["bob", "Ида"]),
        ("labels(name)&labels=not.is.null&labels.name=eq.blue", ["ann"]),
        ("labels!inner(name)&labels.name=eq.red", ["ann", "bob"]),
        ("passports(country)&order=passports(country).asc.nullsfirst,id.desc", ["Ида", "bob", "ann"]),
        ("labels(name)&labels.limit=1&labels.order=name", ["ann", "bob", "Ида"]),
    ],
)
def test_embedded_tables_filter_and_order(api: Api, query: str, names: list[str]) -> None:
    order = "" if "&order=" in query else "&order=id"
    assert [row["name"] for row in api.get(f"things?select=name,{query}{order}")] == names


def test_of_two_foreign_keys_one_must_be_named(api: Api) -> None:
    organization, user = str(uuid.uuid4()), str(uuid.uuid4())
    api.send("POST", "organizations", {"id": organization, "name": "first"})
    api.send("POST", "profiles", {"id": user, "organization_id": organization})
    path = f"profiles?id=eq.{user}&select="
    answer = api.send("GET", f"{path}organizations(name)")
    assert error(answer) == (300, "PGRST201")
    assert answer.json()["details"][0] == {
        "cardinality": "many-to-one",
        "embedding": "profiles with organizations",
        "relationship": "profiles_organization_id_fkey using profiles(organization_id) and organizations(id)",
    }
    by_constraint = api.get(f"{path}organizations!profiles_organization_id_fkey(name)")
    assert by_constraint == [{"organizations": {"name": "first"}}]
    assert api.get(f"{path}organizations!organization_id(name)") == by_constraint
    assert api.get(f"{path}organizations!second_id(name)") == [{"organizations": None}]
    assert error(api.send("GET", f"{path}organizations!nope(name)")) == (400, "PGRST200")
    assert api.get(f"organizations?id=eq.{organization}&select=profiles!organization_id(id)") == [
        {"profiles": [{"id": user}]}
    ]


@pytest.mark.parametrize(
    ("query", "headers", "expected"),
    [
        ("things", {"Prefer": "count=exact"}, (200, "0-2/3", 3)),
        ("things?limit=2", {"Prefer": "count=exact"}, (206, "0-1/3", 2)),
        ("things", {"Range": "1-1"}, (200, "1-1/*", 1)),
        ("things?offset=1", {"Range": "0-1", "Prefer": "count=exact"}, (206, "1-1/3", 1)),
        ("things?offset=9", {}, (200, "*/*", 0)),
        ("things?select=id,labels!inner(name)", {"Prefer": "count=exact"}, (200, "0-1/2", 2)),
        ("things?select=id,labels(name)&labels=is.null", {"Prefer": "count=exact"}, (200, "0-0/1", 1)),
    ],
)
def test_ranges_and_counts(api: Api, query: str, headers: dict[str, str], expected: tuple[int, str, int]) -> None:
    answer = api.send("GET", query, **headers)
    assert (answer.status_code, answer.headers["Content-Range"], len(answer.json())) == expected


def test_a_planned_count_is_the_planners(api: Api) -> None:
    answer = api.send("GET", "things?id=eq.1", Prefer="count=planned")
    assert answer.headers["Content-Range"] == "0-0/1"
    assert answer.headers["Preference-Applied"] == "count=planned"


def test_head_has_the_headers_alone(api: Api) -> None:
    answer = api.send("HEAD", "things", Prefer="count=exact")
    assert (answer.status_code, answer.headers["Content-Range"], answer.content) == (200, "0-2/3", b"")


@pytest.mark.parametrize(
    ("method", "query", "body", "headers", "expected"),
    [
        ("GET", "things?limit=-1", None, {}, (416, "PGRST103")),
        ("GET", "things", None, {"Range": "5-2"}, (416, "PGRST103")),
        ("GET", "things?offset=9", None, {"Prefer": "count=exact"}, (416, "PGRST103")),
        ("GET", "things", None, {"Accept": OBJECT}, (406, "PGRST116")),
        ("GET", "things", None, {"Accept": "application/xml"}, (406, "PGRST107")),
        ("GET", "things", None, {"Accept_Profile": "private"}, (406, "PGRST106")),
        ("GET", "things", None, {"Prefer": "handling=strict, nope=1"}, (400, "PGRST122")),
        ("GET", "things?nope.id=eq.1", None, {}, (400, "PGRST108")),
        ("GET", "things?select=id,nope(id)", None, {}, (400, "PGRST200")),
        ("GET", "things?select=id,labels(name)&order=labels(name)", None, {}, (400, "PGRST118")),
        ("GET", "things?select=id,labels(name)&labels=eq.1", None, {}, (400, "PGRST120")),
        ("GET", "things?select=count()", None, {}, (400, "PGRST123")),
        ("GET", "things?select=price.sum()", None, {}, (400, "PGRST123")),
        ("GET", "things?select=id,", None, {}, (400, "PGRST100")),
        ("GET", "things?select=labels(name", None, {}, (400, "PGRST100")),
        ("GET", "things?id=is.maybe", None, {}, (400, "PGRST100")),
        ("GET", "things?id=in.1,2", None, {}, (400, "PGRST100")),
        ("GET", "things?nothing=5", None, {}, (400, "PGRST100")),
        ("GET", "things?or=(id.eq.1", None, {}, (400, "PGRST100")),
        ("GET", "things?order=id.ascending", None, {}, (400, "PGRST100")),
        ("GET", "things?id=eq.%00", None, {}, (400, "22021")),
        ("GET", "things?name->>x=cs.1", None, {}, (404, "42883")),
        ("GET", "things?select=id::nope", None, {}, (400, "42704")),
        ("GET", "things?mood=eq.angry", None, {}, (400, "22P02")),
        ("GET", "things/1", None, {}, (404, "PGRST125")),
        ("GET", "rpc/nope", None, {}, (404, "PGRST202")),
        ("REPORT", "things", None, {}, (405, "PGRST117")),
        ("POST", "things", [{"id": 8}, {"id": 9, "name": "x"}], {}, (400, "PGRST102")),
        ("POST", "things?columns=id,nope", {"id": 8}, {}, (400, "PGRST204")),
        ("POST", "things", {"id": 8, "mood": "angry"}, {}, (400, "22P02")),
        ("POST", "things", {"id": 10**30}, {}, (400, "22003")),
        ("POST", "things", {"id": 8, "settings": "\0"}, {}, (400, "22P05")),
        (
            "POST",
            "things?on_conflict=name",
            {"id": 8},
            {"Prefer": "resolution=ignore-duplicates"},
            (400, "42P10"),
        ),
        ("POST", "glad_things", {"id": 1}, {}, (409, "23505")),
        ("DELETE", "labels?name=eq.red", None, {}, (409, "23503")),
        ("PUT", "things?name=eq.ann", {"id": 1}, {}, (405, "PGRST105")),
        ("PUT", "things?id=eq.8", {"id": 9}, {}, (400, "PGRST115")),
        ("PUT", "things?id=eq.8&limit=1", {"id": 8}, {}, (400, "PGRST114")),
    ],
)
def test_errors(
    api: Api, method: str, query: str, body: Any, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    assert error(api.send(method, query, body, **headers)) == expected


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[1]", b'{"id": NaN}', b"\xff"])
def test_a_body_that_is_not_rows_of_json_is_refused(api: Api, body: bytes) -> None:
    key = api.token
    url = f"{api.stack.supabase_server.url}/rest/v1/things"
    headers = {"apikey": key, "Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    assert error(requests.post(url, data=body, headers=headers, timeout=10)) == (400, "PGRST102")


def test_numbers_in_json_keep_every_digit(api: Api) -> None:
    key, url = api.token, f"{api.stack.supabase_server.url}/rest/v1/things"
    headers = {"apikey": key, "Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    body = b'{"id": 7, "settings": {"n": 1' + b"0" * 400 + b', "f": 0.10}}'
    assert requests.post(url, data=body, headers=headers, timeout=10).status_code == 201
    answer = api.send("GET", "things?id=eq.7&select=settings")
    assert b'"n": 1' + b"0" * 400 + b"}" in answer.content
    assert b'"f": 0.10' in answer.content


def test_several_rows_are_inserted_at_once_and_missing_keys_are_null_or_defaults(api: Api) -> None:
    kept = "return=representation"
    rows = api.send("POST", "things?columns=id,name&select=id,name", [{"id": 8}, {"id": 9}], Prefer=kept).json()
    assert rows == [{"id": 8, "name": None}, {"id": 9, "name": None}]
    rows = api.send(
        "POST", "things?columns=id,name&select=name", [{"id": 10}, {"id": 11}], Prefer=f"{kept}, missing=default"
    )
    assert rows.json() == [{"name": "thing"}, {"name": "thing"}]
    assert rows.headers["Preference-Applied"] == "missing=default, return=representation"
    assert api.send("POST", "things", [], Prefer=kept).json() == []


def test_an_upsert_merges_and_says_whether_a_row_is_new(api: Api) -> None:
    prefer = "resolution=merge-duplicates,return=representation"
    assert api.send("POST", "things?select=name", {"id": 8, "name": "new"}, Prefer=prefer).status_code == 201
    again = api.send("POST", "things?select=name", {"id": 8, "name": "other"}, Prefer=prefer)
    assert (again.status_code, again.json()) == (200, [{"name": "other"}])
    assert again.headers["Preference-Applied"] == "resolution=merge-duplicates, return=representation"
    put = api.send("PUT", "things?id=eq.12", {"id": 12, "name": "put"}, Prefer="return=representation")
    assert (put.status_code, put.json()[0]["name"]) == (201, "put")
    assert api.send("PUT", "things?id=eq.12", {"id": 12, "name": "again"}).status_code == 204
    assert api.names("id=eq.12") == ["again"]


def test_the_place_of_a_new_row_is_told_to_who_asks_for_headers_only(api: Api) -> None:
    answer = api.send("POST", "things", {"id": 8}, Prefer="return=headers-only")
    assert (answer.status_code, answer.headers["Location"], answer.content) == (201, "/things?id=eq.8", b"")
    assert "Location" not in api.send("POST", "things", {"id": 9}).headers


def test_a_change_returns_what_is_embedded_in_its_rows(api: Api) -> None:
    answer = api.send(
        "PATCH",
        "things?id=lt.3&select=name,labels(name)&labels.order=name&order=id.desc",
        {"mood": "glad"},
        Prefer="return=representation,count=exact",
    )
    assert answer.json() == [
        {"name": "bob", "labels": [{"name": "red"}]},
        {"name": "ann", "labels": [{"name": "blue"}, {"name": "red"}]},
    ]
    assert answer.headers["Content-Range"] == "0-1/2"


def test_a_deletion_returns_its_rows_or_nothing(api: Api) -> None:
    answer = api.send("DELETE", "passports?id=eq.1", Prefer="return=representation")
    assert (answer.status_code, answer.json()) == (200, [{"id": 1, "country": "FR"}])
    gone = api.send("DELETE", "passports?id=eq.1", Prefer="count=exact")
    assert (gone.status_code, gone.headers["Content-Range"], gone.content) == (204, "*/0", b"")


def test_a_change_of_too_many_rows_is_rolled_back(api: Api) -> None:
    few = "handling=strict, max-affected=1"
    assert error(api.send("PATCH", "things?id=gt.0", {"name": "x"}, Prefer=few)) == (400, "PGRST124")
    assert error(api.send("DELETE", "things?id=gt.0", Accept=OBJECT)) == (409, "23503")
    assert error(api.send("PATCH", "things?id=gt.0", {"name": "x"}, Accept=OBJECT)) == (406, "PGRST116")
    assert api.names("") == ["ann", "bob", "Ида"]


def test_other_forms_of_the_answer(api: Api) -> None:
    single = api.send("GET", "things?id=eq.3&select=id,mood", Accept=f"{OBJECT};nulls=stripped")
    assert single.json() == {"id": 3}
    assert api.send("GET", "things?id=lt.3&select=id,name", Accept="text/csv").text == "id,name\n1,ann\n2,bob"


def test_names_are_quoted_whatever_is_in_them(api: Api) -> None:
    answer = api.send("GET", 'things?select="n""; drop table things; --%25s"')
    assert error(answer) == (400, "PGRST100")
    answer = api.send("GET", "things?select=" + quote('"x\\"; drop table things; --%s %(p0)s"'))
    assert error(answer) == (400, "42703")
    assert len(api.names("")) == 3


def test_policies_see_the_tokens_claims_and_a_role_may_not_be_any_other(api: Api) -> None:
    auth = api.stack.supabase.auth
    ann, bob = (auth.add(f"{uuid.uuid4()}@example.com", "password", None) for _ in range(2))
    api.token = auth.sign(auth.claims(ann))
    assert api.send("POST", "notes", {"id": 1, "author": ann, "text": "mine"}).status_code == 201
    assert error(api.send("POST", "notes", {"id": 2, "author": bob, "text": "not mine"})) == (403, "42501")
    assert [note["text"] for note in api.get("notes")] == ["mine"]
    api.token = auth.sign(auth.claims(bob))
    assert api.get("notes") == []
    assert api.send("PATCH", "notes?id=eq.1", {"text": "x"}, Prefer="return=representation").json() == []
    api.token = auth.sign({"role": "postgres"})
    assert error(api.send("GET", "notes")) == (403, "42501")
    api.token = api.stack.supabase.service_role_key
    assert len(api.get("notes")) == 1


def test_a_change_of_the_tables_is_known_to_the_next_request(api: Api) -> None:
    api.stack.supabase.execute("alter table notes add column extra int")
    try:
        assert api.send("POST", "notes", {"id": 5, "extra": 1}).status_code == 201
    finally:
        api.stack.supabase.execute("alter table notes drop column extra")


def test_the_root_describes_the_tables(api: Api) -> None:
    answer = api.send("GET", "")
    assert answer.headers["Content-Type"] == "application/openapi+json; charset=utf-8"
    things = answer.json()["definitions"]["things"]
    assert things["required"] == ["id"]
    assert things["properties"]["mood"] == {"format": "mood", "type": "string", "enum": ["glad", "sad"]}
    assert "<fk table='things' column='id'/>" in things["properties"]["parent_id"]["description"]
