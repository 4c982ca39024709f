"""What we send to PostgREST, and what its refusals become."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest

from emulator.faults import Fault
from wpp.errors import NotConfigured, UpstreamError, UpstreamRefused, UpstreamUnreadable
from wpp.http.messages import Response
from wpp.supabase.api import PostgrestTable, error_code, key_headers, refuses_our_key, unique_constraint

if TYPE_CHECKING:
    from emulator.messages import Request
    from emulator.stack import Stack
    from wpp.runtime import Runtime


@pytest.fixture
def table(runtime: Runtime) -> PostgrestTable:
    return PostgrestTable(runtime.config, runtime.begin("test", "request-1", 8).upstream, "numbers", 8)


def answered(status: int, body: Any) -> Response:
    return Response(status, {}, json.dumps(body).encode())


def received(stack: Stack) -> Request:
    (one,) = stack.supabase_server.received
    return one.request


def test_a_read_asks_for_the_rows_with_our_key_in_both_headers(stack: Stack, table: PostgrestTable) -> None:
    stack.supabase_server.inject(Fault("rest.GET.numbers", status=200, body=b'[{"a": 1.10}, 2]'))
    response, rows = table.read({"id": "eq.1", "at": "gt.2026-01-01T00:00:00+00:00", "select": "a,b:c->>d(e)"})

    assert (response.status, response.body) == (200, b'[{"a": 1.10}, 2]')
    assert [str(row) for row in rows] == ["{'a': Verbatim(text='1.10')}", "2"]
    request, key = received(stack), stack.supabase.service_role_key
    assert (request.method, request.path) == ("GET", "/rest/v1/numbers")
    assert request.query == "id=eq.1&at=gt.2026-01-01T00:00:00%2B00:00&select=a,b:c-%3E%3Ed(e)"
    sent = {name: request.headers.get(name) for name in ("apikey", "authorization", "prefer", "content-type")}
    assert sent == {"apikey": key, "authorization": f"Bearer {key}", "prefer": None, "content-type": None}
    assert request.body == b""


def test_a_write_sends_its_columns_and_what_postgrest_is_to_prefer(stack: Stack, table: PostgrestTable) -> None:
    stack.supabase_server.inject(Fault("rest.PATCH.numbers", status=409, body=b"{}"))
    response = table.write("PATCH", {"id": "eq.1"}, {"name": "x", "settings": {"a": None}}, "return=representation")

    assert (response.status, response.body) == (409, b"{}")
    request, key = received(stack), stack.supabase.service_role_key
    assert (request.method, request.path, parse_qsl(request.query)) == ("PATCH", "/rest/v1/numbers", [("id", "eq.1")])
    assert request.json() == {"name": "x", "settings": {"a": None}}
    names = ("apikey", "authorization", "prefer", "content-type", "x-request-id")
    assert {name: request.headers.get(name) for name in names} == {
        "apikey": key,
        "authorization": f"Bearer {key}",
        "prefer": "return=representation",
        "content-type": "application/json",
        "x-request-id": "request-1",
    }


def test_a_read_is_repeated_after_a_failure_and_a_write_is_not(stack: Stack, table: PostgrestTable) -> None:
    stack.supabase_server.inject(Fault("rest.GET.numbers", status=503))
    stack.supabase_server.inject(Fault("rest.GET.numbers", status=200, body=b"[]"))
    assert table.read({})[1] == []
    assert stack.supabase_server.count("rest.GET.numbers") == 2

    stack.supabase_server.inject(Fault("rest.POST.numbers", status=503))
    with pytest.raises(UpstreamError) as caught:
        table.write("POST", {}, {"a": 1}, "return=minimal")
    assert str(caught.value) == "Supabase failed with status 503 (rest.POST.numbers)"
    assert stack.supabase_server.count("rest.POST.numbers") == 1


def test_a_read_that_hangs_is_repeated_once_the_tables_timeout_has_passed(stack: Stack, runtime: Runtime) -> None:
    table = PostgrestTable(runtime.config, runtime.begin("test", "r", 5).upstream, "numbers", 0.5)
    stack.supabase_server.inject(Fault("rest.GET.numbers", "hang"))
    stack.supabase_server.inject(Fault("rest.GET.numbers", status=200, body=b"[]"))
    assert table.read({})[1] == []


@pytest.mark.parametrize("status", [201, 204, 206, 404])
def test_a_read_takes_nothing_but_a_200(stack: Stack, table: PostgrestTable, status: int) -> None:
    stack.supabase_server.inject(Fault("rest.GET.numbers", status=status, body=b"[]" if status != 204 else b""))
    with pytest.raises(UpstreamRefused) as caught:
        table.read({})
    assert str(caught.value) == f"Supabase refused with status {status} (rest.GET.numbers)"


@pytest.mark.parametrize("status", [200, 201])
def test_the_rows_that_a_change_returned_are_its_body(table: PostgrestTable, status: int) -> None:
    assert table.written("PATCH", answered(status, [{"id": 1}])) == [{"id": 1}]


@pytest.mark.parametrize("status", [202, 204, 404])
def test_another_status_than_200_and_201_is_no_change(table: PostgrestTable, status: int) -> None:
    with pytest.raises(UpstreamRefused) as caught:
        table.written("PATCH", answered(status, [{"id": 1}]))
    assert str(caught.value) == f"Supabase refused with status {status} (rest.PATCH.numbers)"


@pytest.mark.parametrize("body", [None, {}, "x"])
def test_a_body_that_is_not_a_list_cannot_be_read_as_rows(stack: Stack, table: PostgrestTable, body: object) -> None:
    stack.supabase_server.inject(Fault("rest.GET.numbers", status=200, body=json.dumps(body).encode()))
    with pytest.raises(UpstreamUnreadable) as caught:
        table.read({})
    assert str(caught.value) == "Supabase answered without a list of rows, status 200 (rest.GET.numbers)"
    with pytest.raises(UpstreamUnreadable) as caught:
        table.written("POST", answered(201, body))
    assert str(caught.value) == "Supabase answered without a list of rows, status 201 (rest.POST.numbers)"
    assert (caught.value.code, caught.value.upstream_status) == ("supabase_unavailable", 201)


HIDDEN = (
    "Supabase's table numbers is hidden from SUPABASE_SERVICE_ROLE_KEY or refuses its rows: is it a key of the role "
    "service_role, and may that role pass row-level security? (42501)"
)


@pytest.mark.parametrize(
    ("code", "message", "text"),
    [
        ("42501", "permission denied for table numbers", HIDDEN),
        ("42P01", "", "Supabase's table numbers is missing (42P01)"),
        ("PGRST200", "", "Supabase's table numbers lacks the foreign key to organizations (PGRST200)"),
        ("PGRST201", "", "Supabase's table numbers has several foreign keys where we need one (PGRST201)"),
        ("PGRST204", "", "Supabase's table numbers lacks a column that we need (PGRST204)"),
        ("PGRST205", "", "Supabase's table numbers is missing (PGRST205)"),
        (
            "42703",
            "column numbers.is_active does not exist",
            "Supabase's table numbers lacks the column numbers.is_active (42703)",
        ),
        ("42703", "something else", "Supabase's table numbers lacks the column ? (42703)"),
        (
            "23502",
            'null value in column "tenant" of relation "numbers" violates not-null constraint',
            "numbers.tenant must have a default or allow null: we do not know it (23502)",
        ),
        (
            "23502",
            f'null value in column "{"x" * 64}"',
            "numbers.? must have a default or allow null: we do not know it (23502)",
        ),
    ],
)
def test_what_the_operator_has_to_mend_is_named(table: PostgrestTable, code: str, message: str, text: str) -> None:
    error = table.refusal("GET", answered(400, {"code": code, "message": message}))
    assert type(error) is NotConfigured
    assert str(error) == text


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (401, {"message": "Invalid authentication credentials"}, "401: is SUPABASE_SERVICE_ROLE_KEY right?"),
        (401, {"code": "PGRST301", "message": "No suitable key"}, "401: is SUPABASE_SERVICE_ROLE_KEY right?"),
        (400, {"code": "PGRST301"}, "400: is SUPABASE_SERVICE_ROLE_KEY right?"),
        (400, {"code": "PGRST303"}, "400: is SUPABASE_SERVICE_ROLE_KEY right?"),
        (409, {"code": "23505", "message": "duplicate key"}, "409: 23505"),
        (400, {"message": "something private"}, "400"),
    ],
)
def test_any_other_refusal_shows_a_code_at_most(table: PostgrestTable, status: int, body: object, text: str) -> None:
    error = table.refusal("DELETE", answered(status, body))
    assert isinstance(error, UpstreamRefused)
    assert str(error) == f"Supabase refused with status {text} (rest.DELETE.numbers)"
    assert (error.code, error.upstream_status) == ("supabase_refused", status)


@pytest.mark.parametrize(
    ("key", "headers"),
    [
        ("ey.J.x", {"apikey": "ey.J.x", "Authorization": "Bearer ey.J.x"}),
        ("sb_secret_x", {"apikey": "sb_secret_x"}),
        ("SB_x", {"apikey": "SB_x", "Authorization": "Bearer SB_x"}),
    ],
)
def test_only_a_key_of_the_old_kind_is_a_bearer_too(key: str, headers: dict[str, str]) -> None:
    assert key_headers(key) == headers


@pytest.mark.parametrize(
    ("status", "body", "is_ours"),
    [
        (401, {"message": "No API key found in request"}, True),
        (403, {"message": "x", "code": "42501"}, True),
        (400, {"message": "x"}, False),
        (402, {"message": "x"}, False),
        (400, {"error_code": "bad_jwt"}, False),
        (401, {"msg": "x"}, False),
        (401, {"code": 401, "msg": "x"}, False),
        (403, {"code": 403, "error_code": "bad_jwt", "msg": "x"}, False),
        (401, {"message": "x", "msg": "x"}, False),
        (401, {"message": "x", "error_code": "bad_jwt"}, False),
        (401, {}, False),
        (403, {"error": "Forbidden"}, False),
        (401, ["message"], False),
        (401, None, False),
    ],
)
def test_the_gateways_own_refusal_is_about_our_key(status: int, body: object, is_ours: bool) -> None:
    assert refuses_our_key(answered(status, body)) is is_ours


@pytest.mark.parametrize("body", [b"Unauthorized", b"RBAC: access denied", b"<html>Access denied</html>"])
@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_that_is_not_json_is_about_our_key(table: PostgrestTable, status: int, body: bytes) -> None:
    """Envoy, the default gateway, answers an unknown key with text, and a firewall with a page."""
    response = Response(status, {}, body)
    assert refuses_our_key(response)
    assert "is SUPABASE_SERVICE_ROLE_KEY right?" in str(table.refusal("GET", response))


@pytest.mark.parametrize("body", [b"", b" ", b"null"])
def test_a_refusal_without_a_word_may_be_about_the_caller(body: bytes) -> None:
    assert not refuses_our_key(Response(401, {}, body))
    assert not refuses_our_key(Response(400, {}, b"Bad Request"))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"code": "23505"}, "23505"),
        ({"code": "PGRST2000000"}, "PGRST2000000"),
        ({"code": "PGRST20000000"}, ""),  # 13 characters: no code of PostgREST's is that long
        ({"code": "a b"}, ""),
        ({"code": 403}, ""),
        ({"code": None}, ""),
        ({}, ""),
        (["code"], ""),
    ],
)
def test_a_code_is_one_that_is_safe_to_show_or_none(body: object, code: str) -> None:
    assert error_code(answered(400, body)) == code


@pytest.mark.parametrize(
    ("body", "constraint"),
    [
        (
            {"code": "23505", "message": 'duplicate key value violates unique constraint "one (a b)-x.y"'},
            "one (a b)-x.y",
        ),
        ({"code": "23505", "message": f'violates unique constraint "{"x" * 63}"'}, "x" * 63),
        ({"code": "23505", "message": f'violates unique constraint "{"x" * 64}"'}, "?"),
        ({"code": "23505", "message": 5}, "?"),
        ({"code": "23505"}, "?"),
        ({"code": "23503", "message": 'violates unique constraint "x"'}, None),
        (None, None),
    ],
)
def test_the_unique_constraint_is_the_one_that_postgresql_names(body: object, constraint: str | None) -> None:
    assert unique_constraint(answered(409, body)) == constraint
