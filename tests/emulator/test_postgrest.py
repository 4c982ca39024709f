"""The emulated PostgREST answers as the real one is documented to."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import requests

if TYPE_CHECKING:
    from emulator.stack import Stack

TABLE = "messenger_integrations"


class Rest:
    def __init__(self, stack: Stack) -> None:
        key = stack.supabase.service_role_key
        self.url = f"{stack.supabase_server.url}/rest/v1/"
        self.headers = {"apikey": key, "Authorization": f"Bearer {key}"}
        self.organization_id = str(uuid.uuid4())
        self.user_id = stack.supabase.add_user(
            f"{self.organization_id}@example.com", organization_id=self.organization_id
        )

    def send(self, method: str, query: str, body: Any = None, **headers: str) -> requests.Response:
        return requests.request(method, self.url + query, json=body, headers=self.headers | headers, timeout=10)

    def insert(self, prefer: str = "return=representation", query: str = "", **columns: Any) -> requests.Response:
        row = {"organization_id": self.organization_id, "messenger_type": "whatsapp", "provider": "wpp", **columns}
        return self.send("POST", TABLE + query, row, Prefer=prefer)

    def found(self, filters: str) -> list[str]:
        answer = self.send(
            "GET", f"{TABLE}?organization_id=eq.{self.organization_id}&select=name&order=name.asc&{filters}"
        )
        assert answer.status_code == 200, answer.text
        return [row["name"] for row in answer.json()]


@pytest.fixture
def rest(stack: Stack) -> Rest:
    return Rest(stack)


def error(answer: requests.Response) -> tuple[int, str]:
    body = answer.json()
    assert set(body) == {"code", "message", "details", "hint"}
    return answer.status_code, body["code"]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ("name=eq.a", ["a"]),
        ("name=neq.a", ["b", "c"]),
        ("name=not.eq.a", ["b", "c"]),
        ("name=gt.a&name=lte.b", ["b"]),
        ("name=in.(a,c)", ["a", "c"]),
        ("name=like.*b*", ["b"]),
        ("is_active=is.true", ["a", "b"]),
        ("is_active=eq.false", ["c"]),
        ("settings->wppClaim->>id=eq.x", ["b"]),
        ("settings->wppClaim->>id=is.null", ["a", "c"]),
        # A missing key is NULL: neither eq nor not.eq matches it.
        ("settings->wppClaim->>id=not.eq.y", ["b"]),
        ("settings->>flag=eq.true", ["c"]),
        ('settings=cs.{"flag": true}', ["c"]),
        ("or=(name.eq.a,settings->wppClaim->>id.eq.x)", ["a", "b"]),
        ("and=(name.neq.a,or(name.eq.b,name.eq.a))", ["b"]),
        ("limit=1&offset=1", ["b"]),
    ],
)
def test_filters(rest: Rest, filters: str, expected: list[str]) -> None:
    rest.insert(name="a", settings={})
    rest.insert(name="b", settings={"wppClaim": {"id": "x"}})
    rest.insert(name="c", settings={"flag": True}, is_active=False)
    assert rest.found(filters) == expected


def test_an_ignored_duplicate_is_201_with_an_empty_list(rest: Rest) -> None:
    row_id = str(uuid.uuid4())
    prefer = "resolution=ignore-duplicates,return=representation"
    first, second = (rest.insert(prefer, "?on_conflict=id", id=row_id) for _ in range(2))
    assert (first.status_code, len(first.json())) == (201, 1)
    assert (second.status_code, second.json()) == (201, [])


def test_of_many_inserts_at_once_one_wins(rest: Rest) -> None:
    row_id = str(uuid.uuid4())
    prefer = "resolution=ignore-duplicates,return=representation"
    with ThreadPoolExecutor(30) as threads:
        made = list(threads.map(lambda _: rest.insert(prefer, "?on_conflict=id", id=row_id).json(), range(30)))
    assert sorted(len(rows) for rows in made) == [0] * 29 + [1]


def test_of_many_conditional_changes_at_once_one_matches(rest: Rest) -> None:
    (row,) = rest.insert().json()
    query = f"{TABLE}?id=eq.{row['id']}&updated_at=eq.{row['updated_at'].replace('+', '%2B')}"
    body = {"updated_at": "2031-01-01T00:00:00Z"}

    def change(_: int) -> int:
        return len(rest.send("PATCH", query, body, Prefer="return=representation").json())

    with ThreadPoolExecutor(30) as threads:
        assert sorted(threads.map(change, range(30))) == [0] * 29 + [1]


def test_a_plus_in_a_query_is_a_space(rest: Rest) -> None:
    (row,) = rest.insert().json()
    answer = rest.send("GET", f"{TABLE}?updated_at=eq.{row['updated_at']}")
    assert error(answer) == (400, "22007")


@pytest.mark.parametrize(("has_bug", "returned"), [(False, 1), (True, 0)])
def test_before_14_4_a_change_with_or_came_back_empty(
    stack: Stack, rest: Rest, monkeypatch: pytest.MonkeyPatch, has_bug: bool, returned: int
) -> None:
    monkeypatch.setattr(stack.supabase.rest, "or_filter_bug", has_bug)
    (row,) = rest.insert(name="before").json()
    query = f"{TABLE}?id=eq.{row['id']}&or=(name.eq.before,name.eq.other)"
    answer = rest.send("PATCH", query, {"name": "after"}, Prefer="return=representation")
    assert len(answer.json()) == returned
    assert rest.found("") == ["after"]


def test_clashes_and_missing_things_have_their_codes(rest: Rest) -> None:
    (row,) = rest.insert(webhook_key=uuid.uuid4().hex).json()
    assert error(rest.insert(webhook_key=row["webhook_key"])) == (409, "23505")
    assert error(rest.insert(organization_id=str(uuid.uuid4()))) == (409, "23503")
    assert error(rest.insert(messenger_type=None)) == (400, "23502")
    assert error(rest.insert(is_enabled=True)) == (400, "PGRST204")
    assert error(rest.insert(id="no-uuid")) == (400, "22P02")
    assert error(rest.send("GET", f"{TABLE}?is_enabled=eq.true")) == (400, "42703")
    assert error(rest.send("GET", "no_such_table")) == (404, "PGRST205")
    assert error(rest.send("GET", "profiles?select=messenger_integrations(id)")) == (400, "PGRST200")


def test_a_single_object_is_asked_for_and_several_rows_roll_the_change_back(rest: Rest) -> None:
    rest.insert(name="a")
    rest.insert(name="b")
    where = f"{TABLE}?organization_id=eq.{rest.organization_id}"
    wanted = {"Accept": "application/vnd.pgrst.object+json", "Prefer": "return=representation"}
    assert error(rest.send("PATCH", where, {"name": "c"}, **wanted)) == (406, "PGRST116")
    assert rest.found("") == ["a", "b"]
    assert rest.send("GET", f"{where}&name=eq.a", **wanted).json()["name"] == "a"


def test_embedding_gives_an_object_or_null_to_one_and_a_list_to_many(rest: Rest) -> None:
    rest.insert(name="a", provider="other")
    select = "select=organization_id,organizations(name,messenger_integrations(name))"
    filters = "organizations.messenger_integrations.provider=eq.wpp"
    answer = rest.send("GET", f"profiles?id=eq.{rest.user_id}&{select}&{filters}")
    # A filter on what is embedded never drops the parent.
    assert answer.json()[0]["organizations"] == {"name": "Demo School", "messenger_integrations": []}


def test_keys_and_roles(stack: Stack, rest: Rest) -> None:
    url = rest.url + TABLE
    anon, secret = stack.supabase.anon_key, stack.supabase.secret_key

    def get(**headers: str) -> requests.Response:
        return requests.get(url, headers=headers, timeout=10)

    assert get().json() == {"message": "No API key found in request"}
    assert error(get(apikey=anon)) == (401, "42501")
    assert get(apikey=secret).status_code == 200
    assert error(get(apikey=secret, Authorization=f"Bearer {secret}")) == (401, "PGRST301")
    assert requests.get(url, headers={"apikey": secret, "User-Agent": "Mozilla/5.0"}, timeout=10).status_code == 401
