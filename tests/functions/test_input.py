"""What a caller sends: sizes, depths, encodings, methods, smuggled requests, and ids of others.

All functions leave it to the same server and adapter to tell requests apart and to read bodies, so one stands for all there.
"""

from __future__ import annotations

import json
import socket
import time
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.support.callers import CONNECTING, CREATE, FUNCTIONS, new_caller

if TYPE_CHECKING:
    from tests.support.ledger import Ledger
    from tests.support.projects import Project

LIMIT = 64 * 1024


@pytest.fixture
def project(projects: dict[str, Project]) -> Project:
    found = projects["HS256"]
    found.stack.reset()
    found.stack.platform.settings.qr_delay = 0.1
    return replace(found, victim=new_caller(found.stack, found.processes))


def send(project: Project, function: str, body: bytes, **headers: str) -> requests.Response:
    sent = {"Authorization": f"Bearer {project.victim.token}", **{k.replace("_", "-"): v for k, v in headers.items()}}
    return requests.post(project.processes[function].url, data=body, headers=sent, timeout=20)


BODIES = {
    "one byte too large": (b" " * (LIMIT + 1), 413),
    "ten megabytes": (b" " * 10_000_000, 413),
    "deep lists": (b'{"a":' + b"[" * 30_000 + b"]" * 30_000 + b"}", 400),
    "deep objects": (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, 400),
    "cut off": (b'{"a": "b', 400),
    "a control character": (b"\x1e", 400),
    "a number": (b"1", 400),
    "text": (b'"text"', 400),
    "null": (b"null", 400),
    "a list": (b"[{}]", 400),
    "two objects": (b"{}{}", 400),
    "UTF-16": ("{}".encode("utf-16"), 400),
    "UTF-32": ("{}".encode("utf-32"), 400),
    "UTF-7": ('{"a": "é"}'.encode("utf-7") + b"\xff", 400),
    "latin-1": ('{"a": "é"}'.encode("latin-1"), 400),
    "a byte order mark": (b"\xef\xbb\xbf{}", 400),
    "overlong UTF-8": (b'{"a": "\xc0\x80"}', 400),
    "a surrogate in UTF-8": (b'{"a": "\xed\xa0\x80"}', 400),
    "a null byte behind": (b"{}\x00", 400),
    "a form": (b"a=b&c=d", 400),
    "a huge integer": (b'{"a": ' + b"9" * 10_000 + b"}", 400),
    "XML": (b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', 400),
}


@pytest.mark.parametrize("function", CONNECTING)
@pytest.mark.parametrize("name", BODIES)
def test_a_bad_body_is_refused_before_anything_is_asked(
    project: Project, function: str, name: str, ledger: Ledger
) -> None:
    body, status = BODIES[name]
    project.forget()
    try:
        answer = send(project, function, body)
        got, code = answer.status_code, answer.json()["code"]
    except requests.ConnectionError:  # the server need not read what it refuses
        assert len(body) > 1_000_000
        got, code = 413, "body_too_large"
    ledger.note("bad body", refused=got == status, reached=len(project.received()))
    assert (got, code) == (status, "bad_request" if status == 400 else "body_too_large")
    assert project.received() == []


@pytest.mark.parametrize("function", CONNECTING)
@pytest.mark.parametrize(
    "body",
    [b'{"a": 1, "a": 2}', b'{"__proto__": {"admin": true}}', b'{"": ""}', b'{"a": NaN}', b'{"\\ud800": "\\udfff"}',
     b'{"a": 1e999}',
     b" " * 60_000 + b"{}", b"{" + b",".join(b'"k%d": 0' % i for i in range(5000)) + b"}"],
)  # fmt: skip
def test_an_odd_body_that_is_an_object_changes_nothing(project: Project, function: str, body: bytes) -> None:
    assert send(project, function, body).status_code == 200


@pytest.mark.parametrize("function", CONNECTING)
def test_no_field_and_no_header_names_the_organization_the_user_or_the_host(
    project: Project, function: str, ledger: Ledger
) -> None:
    other = new_caller(project.stack, project.processes)
    names = ["organization_id", "organizationId", "organization", "org_id", "orgId", "tenant", "user_id", "userId",
             "sub", "id", "profile_id",
             "wppSubOrgId", "sub_organization_id", "session", "number", "account", "apiKey",
             "wppApiKey", "settings",
             "base_url", "WPP_BASE_URL", "supabase_url", "url", "webhook", "webhook_url", "callback"]  # fmt: skip
    body: dict[str, Any] = {
        name: "http://127.0.0.1:1" if "url" in name.lower() else other.organization_id for name in names
    }
    headers = {f"X-{name.replace('_', '-')}": other.organization_id for name in names if name.isascii()}
    headers |= {
        "X-Forwarded-Host": "evil.example",
        "Forwarded": "host=evil.example",
        "X-Original-URL": "/",
        "X-User-Id": other.user_id,
    }
    headers |= {"X-HTTP-Method-Override": "DELETE", "Prefer": "tx=rollback", "Range": "0-0", "Accept-Profile": "auth"}
    project.forget()

    answer = requests.post(
        project.processes[function].url + f"?organization_id={other.organization_id}&user_id={other.user_id}",
        json=body,
        headers={**headers, "Authorization": f"Bearer {project.victim.token}"},
        timeout=20,
    )

    assert answer.status_code == 200
    servers = (project.stack.supabase_server, project.stack.platform_server)
    sent = [r.request for server in servers for r in list(server.received)]
    crossed = [r for r in sent if other.organization_id in f"{r.path}{r.query}{r.body!r}{r.headers}"]
    ledger.note("another's ids in body, query and headers", refused=not crossed, reached=len(crossed))
    assert not crossed
    assert not [r for r in sent if other.user_id in f"{r.path}{r.query}{r.body!r}{r.headers}"]
    assert not {"x-forwarded-host", "range", "accept-profile", "x-user-id"} & {n for r in sent for n in r.headers}
    assert other.rows() == []
    assert project.victim.row()["organization_id"] == project.victim.organization_id


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "LOCK", "post", "POSTX", "CONNECT"])
def test_another_method_reaches_nothing(project: Project, function: str, method: str, ledger: Ledger) -> None:
    project.forget()
    head = (
        f"{method} / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {project.victim.token}\r\nConnection: close\r\n\r\n"
    )
    status = _statuses(_talk(project.processes[function].port, head.encode()))
    ledger.note("another method", refused=status in ([400], [405], [501]), reached=len(project.received()))
    assert status in ([400], [405], [501])
    assert project.received() == []


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_a_method_that_only_asks_reaches_nothing(project: Project, function: str, method: str) -> None:
    project.forget()
    headers = {"Authorization": f"Bearer {project.victim.token}", "X-HTTP-Method-Override": "POST"}
    assert requests.request(method, project.processes[function].url, headers=headers, json={}, timeout=10).ok
    assert project.received() == []


def _talk(port: int, data: bytes, patience: float = 20.0, end: bytes | None = None) -> bytes:
    """All that comes back for these bytes, or what comes up to `end`."""
    with socket.create_connection(("127.0.0.1", port), timeout=patience) as connection:
        connection.sendall(data)
        heard = b""
        try:
            while (end is None or end not in heard) and (piece := connection.recv(65536)):
                heard += piece
        except (TimeoutError, ConnectionError):
            pass
        return heard


def _statuses(heard: bytes) -> list[int]:
    return [int(line.split()[1]) for line in heard.split(b"\r\n") if line.startswith(b"HTTP/1.")]


# Each of these hides a second request, with the victim's token, behind a first one that a proxy would read otherwise.
SMUGGLED = {
    "both lengths, chunks end first": "Content-Length: {n}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{second}",
    "two lengths": "Content-Length: 2\r\nContent-Length: {n}\r\n\r\n{{}}{second}",
    "a list of lengths": "Content-Length: 2, {n}\r\n\r\n{{}}{second}",
    "a length with a sign": "Content-Length: +2\r\n\r\n{{}}{second}",
    "a negative length": "Content-Length: -1\r\n\r\n{second}",
    "a length in hexadecimal": "Content-Length: 0x2\r\n\r\n{{}}{second}",
    "a length with a space": "Content-Length : 2\r\n\r\n{{}}{second}",
    "chunked in other words": "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{second}",
    "chunked twice": "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n{second}",
    "chunked after a tab": "Transfer-Encoding:\tchunked, identity\r\n\r\n0\r\n\r\n{second}",
    "chunked with a space before the colon": "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n{second}",
    "a chunk with a negative size": "Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n{second}",
    "a chunk with an odd size": "Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n{second}",
    "folded header": "X-A: b\r\n Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
    "a bare line feed": "X-A: b\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
    "a null byte in a header": "X-A: b\0c\r\nContent-Length: 0\r\n\r\n",
    "a header without a name": ": b\r\nContent-Length: 0\r\n\r\n",
    "a header without a colon": "X-A b\r\nContent-Length: 0\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("name", SMUGGLED)
def test_no_second_request_hides_in_a_first(project: Project, name: str, ledger: Ledger) -> None:
    port = project.processes[CREATE].port
    second = f"POST / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {project.victim.token}\r\nContent-Length: 0\r\n\r\n"
    first = "POST / HTTP/1.1\r\nHost: a\r\n" + SMUGGLED[name].format(second=second, n=len(second) + 5)
    project.forget()
    statuses = _statuses(_talk(port, first.encode("latin-1"), patience=0.7))
    ledger.note("request smuggling", refused=200 not in statuses, reached=len(project.received()))
    assert 200 not in statuses
    assert project.received() == []


def test_a_header_with_an_underscore_is_not_the_one_with_a_hyphen(project: Project) -> None:
    """WSGI cannot tell them apart, so what a proxy strips as `X-A` could come in as `X_A`."""
    project.forget()
    head = f"POST / HTTP/1.1\r\nHost: a\r\nAuthorization_: Bearer {project.victim.token}\r\nX_Request_Id: forged\r\n"
    heard = _talk(project.processes[CREATE].port, (head + "Content-Length: 0\r\nConnection: close\r\n\r\n").encode())
    assert _statuses(heard) == [401]
    assert b"forged" not in heard


def test_a_body_that_announces_more_than_the_limit_is_not_waited_for(project: Project) -> None:
    head = f"POST / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {project.victim.token}\r\nContent-Length: 99999999999\r\n\r\n"
    began = time.monotonic()
    assert _statuses(_talk(project.processes[CREATE].port, head.encode(), end=b"\r\n"))[:1] == [413]
    assert time.monotonic() - began < 5


def test_who_brings_no_token_is_answered_without_their_body(project: Project) -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n"
    assert _statuses(_talk(project.processes[CREATE].port, head, end=b"}")) == [401]


def test_a_chunked_body_without_an_end_is_cut_off(project: Project) -> None:
    head = f"POST / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {project.victim.token}\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = b"1000\r\n" + b" " * 4096 + b"\r\n"
    assert _statuses(_talk(project.processes[CREATE].port, head.encode() + body * 20, end=b"\r\n"))[:1] == [413]


@pytest.mark.parametrize("body", ["zz\r\n{}\r\n0\r\n\r\n", "2\r\n{}0\r\n\r\n", "2\r\n{}\r\n0\r\nx y\r\n\r\n"])
def test_malformed_chunks_are_the_callers_fault(project: Project, body: str) -> None:
    head = f"POST / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {project.victim.token}\r\nTransfer-Encoding: chunked\r\n\r\n"
    heard = _talk(project.processes[CREATE].port, (head + body).encode(), end=b"}")
    assert _statuses(heard) == [400]
    assert b'"code":"bad_request"' in heard


@pytest.mark.parametrize(
    "path", ["/..%2f..%2fetc/passwd", "//evil.example/", "/%00", "/?a=%0d%0aX-Injected:%201", "/%ff"]
)
def test_no_path_leads_anywhere_else(project: Project, path: str) -> None:
    project.forget()
    answer = requests.get(project.processes[CREATE].url + path, timeout=10)
    assert answer.json()["success"] is True
    assert "X-Injected" not in answer.headers
    assert project.received() == []


@pytest.mark.parametrize("value", ["a\\r\\nX-Injected: 1", "../../x", "a b", "x" * 129, "<script>", "é", "%0d%0a", ""])
def test_a_request_id_from_outside_is_a_plain_word_or_is_replaced(project: Project, value: str) -> None:
    answer = send(project, CREATE, b"{", X_Request_Id=value)
    assert answer.headers["X-Request-Id"] == answer.json()["request_id"] != value
    assert len(uuid.UUID(answer.json()["request_id"]).hex) == 32


def test_answers_are_json_that_no_browser_takes_for_a_page(project: Project) -> None:
    answer = send(project, CREATE, json.dumps({"<script>": "alert(1)"}).encode(), Content_Type="text/html")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
