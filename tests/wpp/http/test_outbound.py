"""What goes out: to the configured hosts alone, over verified TLS, bounded in time and size, each secret to its own place."""

from __future__ import annotations

import gzip
import itertools
import re
import ssl
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from emulator.faults import Fault
from emulator.stack import WPP_SECRET
from tests.support.callers import CREATE, PROVISION
from tests.support.tls_servers import Authority, Server, saying, serving
from wpp.config import settings_from
from wpp.errors import NotConfigured
from wpp.http.messages import Response, TransportFailed
from wpp.http.sockets import BoundedAdapter
from wpp.http.transport import MAX_ANSWER_BYTES, Transport

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from emulator.web import Received
    from tests.support.ledger import Ledger
    from tests.support.projects import Project

    Everything = tuple[Project, dict[str, list[Received]]]

TIMEOUT = 1.0
MARGIN = 0.4  # seconds, for a slow machine
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


@pytest.fixture
def transport() -> Iterator[Transport]:
    made = Transport()
    yield made
    made.close()


def get(transport: Transport, url: str, timeout: float = TIMEOUT) -> Response:
    return transport.send("GET", url, {"apikey": "credential"}, None, timeout)


# TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def test_a_server_whose_certificate_is_in_order_is_believed(
    transport: Transport, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The counterpart of the refusals below: trusted, the same authority's certificate will do."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    with serving(saying(OK), authority.context("127.0.0.1")) as server:
        assert get(transport, server.url).status == 200


@pytest.mark.parametrize("kind", ["unknown authority", "self-signed", "another host", "expired", "no TLS at all"])
def test_a_server_that_cannot_prove_who_it_is_gets_nothing(
    transport: Transport, authority: Authority, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    host = "platform.example" if kind == "another host" else "127.0.0.1"
    made = authority.context(host, days=-1 if kind == "expired" else 2, self_signed=kind == "self-signed")
    context = None if kind == "no TLS at all" else made
    if kind in ("another host", "expired"):
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    with serving(saying(OK), context) as server:
        with pytest.raises(TransportFailed):
            get(transport, server.url.replace("http://", "https://"))
        assert server.connections == 1
        assert b"credential" not in b"".join(server.requests)


def test_old_versions_of_tls_are_refused(
    transport: Transport, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    context = authority.context("127.0.0.1")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with serving(saying(OK), context) as server, pytest.raises(TransportFailed):
        get(transport, server.url)


def test_without_a_store_of_the_system_the_authorities_of_certifi_are_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/dev/null")
    monkeypatch.setenv("SSL_CERT_DIR", "/dev/null")
    context = BoundedAdapter(1).tls_context()
    assert context.cert_store_stats()["x509_ca"] > 50
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTPS_PROXY", "ALL_PROXY", "https_proxy"])
def test_the_environment_changes_neither_who_is_trusted_nor_the_way(
    monkeypatch: pytest.MonkeyPatch, authority: Authority, name: str
) -> None:
    with serving(saying(OK)) as proxy, serving(saying(OK), authority.context("127.0.0.1")) as server:
        monkeypatch.setenv(name, str(authority.path) if "BUNDLE" in name else proxy.url)
        transport = Transport()
        with pytest.raises(TransportFailed):
            get(transport, server.url)
        transport.close()
        assert proxy.connections == 0


# Addresses


@pytest.mark.parametrize("name", ["SUPABASE_URL", "WPP_BASE_URL"])
@pytest.mark.parametrize(
    "url",
    ["https://project.supabase.co", "https://10.1.2.3:8443", "http://localhost:54321", "http://127.0.0.1:8000",
     "http://127.0.0.53", "http://[::1]:8000", "http://kong:8000", "http://api-gw:8000", "http://supabase_kong:8000"],
)  # fmt: skip
def test_https_loopback_and_neighbours_on_a_private_network_may_be_called(url: str, name: str) -> None:
    assert url in repr(settings_from(_required() | {name: url}))


@pytest.mark.parametrize("name", ["SUPABASE_URL", "WPP_BASE_URL"])
@pytest.mark.parametrize(
    "url",
    ["http://project.supabase.co", "HTTP://project.supabase.co", "http://10.1.2.3", "http://169.254.169.254", "http://127.1.example",
     "http://localhost.example", "http://localhost.", "http://[2001:db8::1]", "http://[fe80::1]", "http://[::ffff:8.8.8.8]",
     "http://[::]", "http://134744072", "http://0x08080808", "http://0", "ftp://kong", "file:///etc/passwd", "kong:8000",
     "//kong", "https://", "https://user:password@kong", "https://user@kong", "https://kong?", "https://kong#", "https://kong?a=b",
     "https://kong\\@evil.example", "https://evil.example\\.supabase.co", "https://ko ng", "https://ko\tng", "https://ko\nng",
     "https://kong:port", "https://kong:99999", "http://kong@8.8.8.8", "http://8.8.8.8#kong", "https://köng.example"],
)  # fmt: skip
def test_no_other_address_may_be_called(url: str, name: str) -> None:
    with pytest.raises(NotConfigured, match=name):
        settings_from(_required() | {name: url})


def _required() -> dict[str, str]:
    return {"SUPABASE_URL": "https://a.example", "SUPABASE_SERVICE_ROLE_KEY": "k" * 20, "WPP_SECRET": "s" * 20}


# Redirects


@pytest.mark.parametrize("status", [300, 301, 302, 303, 305, 307, 308])
def test_a_redirect_is_not_followed(transport: Transport, status: int) -> None:
    with serving(saying(OK)) as elsewhere:
        moved = (
            f"HTTP/1.1 {status} Moved\r\nLocation: {elsewhere.url}/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        with serving(saying(moved.encode())) as server:
            assert get(transport, server.url).status == status
        assert elsewhere.connections == 0


@pytest.mark.parametrize("call", ["auth.user", "rest.GET.profiles", "create", "token", "status", "start", "webhook"])
def test_a_redirect_from_any_upstream_call_reaches_nobody(
    projects: dict[str, Project], call: str, ledger: Ledger
) -> None:
    project = _fresh(projects["HS256"])
    with serving(saying(OK)) as elsewhere:
        for server in (project.stack.supabase_server, project.stack.platform_server):
            server.inject(Fault(call=call, status=307, headers={"Location": elsewhere.url + "/"}, times=None))
        try:
            answer = project.victim.create()
        finally:
            project.stack.reset()
        ledger.note("redirect from an upstream", refused=elsewhere.connections == 0, reached=elsewhere.connections)
        assert elsewhere.connections == 0
        assert answer.status_code == (200 if call in ("webhook", "start") else 502)


# Size and time


def _endless(head: bytes, piece: bytes, pause: float = 0.0) -> Iterator[tuple[bytes, float]]:
    yield head, 0.0
    for _ in range(150) if pause else itertools.count():
        yield piece, pause


def _sent(pieces: Iterator[tuple[bytes, float]]) -> Server:
    def talk(connection: socket.socket) -> None:
        for piece, pause in pieces:
            connection.sendall(piece)
            time.sleep(pause)

    return Server(talk)


_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
_BOMB = gzip.compress(b"\0" * (64 * 1024 * 1024), 9)
LARGE = {
    "one byte too many": [(_HEAD + b"Content-Length: %d\r\n\r\n" % (MAX_ANSWER_BYTES + 1) + b" " * (MAX_ANSWER_BYTES + 1), 0.0)],
    "announced as a terabyte": [(_HEAD + b"Content-Length: 1099511627776\r\n\r\n" + b" " * (2 * MAX_ANSWER_BYTES), 0.0)],
    "without an end": _endless(_HEAD + b"\r\n", b" " * 65536),
    "chunked without an end": _endless(_HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1000\r\n" + b" " * 4096 + b"\r\n"),
    "one endless chunk": _endless(_HEAD + b"Transfer-Encoding: chunked\r\n\r\nffffffffff\r\n", b" " * 65536),
    "a gzip bomb": [(_HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(_BOMB) + _BOMB, 0.0)],
    "endless headers": _endless(_HEAD, b"X-A: b\r\n" * 100),
    "an endless header": _endless(_HEAD + b"X-A: ", b"b" * 65536),
    "an endless status line": _endless(b"HTTP/1.1 200 ", b"O" * 65536),
    "endless 100 Continue": _endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "endless chunk size": _endless(_HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"0" * 65536),
    "endless trailers": _endless(_HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", b"X-A: b\r\n" * 100),
}  # fmt: skip
SLOW: dict[str, Callable[[], Iterator[tuple[bytes, float]]]] = {
    "the body, a byte at a time": lambda: _endless(_HEAD + b"\r\n", b" ", 0.02),
    "a header, a byte at a time": lambda: _endless(_HEAD + b"X-A: ", b"b", 0.02),
    "the status line, a byte at a time": lambda: _endless(b"HTTP/1.1 200 ", b"O", 0.02),
    "empty lines of a chunked body": lambda: _endless(
        _HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n", 0.02
    ),
    "100 Continue for ever": lambda: _endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.02),
    "gzip, a byte at a time": lambda: _endless(_HEAD + b"Content-Encoding: gzip\r\n\r\n" + _BOMB[:10], b"\0", 0.02),
    "a byte just in time, then none": lambda: iter([(_HEAD + b"\r\n", 0.45), (b" ", 1.5), (b" ", 1.5)]),
    "nothing at all": lambda: _endless(b"", b"", 0.02),
    "half an answer": lambda: _endless(_HEAD + b"Content-Length: 10\r\n\r\n{}", b"", 0.02),
}


def test_an_answer_of_the_largest_size_is_taken(transport: Transport) -> None:
    whole = _HEAD + b"Content-Length: %d\r\n\r\n" % MAX_ANSWER_BYTES + b" " * MAX_ANSWER_BYTES
    with serving(saying(whole)) as server:
        assert len(get(transport, server.url).body) == MAX_ANSWER_BYTES


@pytest.mark.parametrize("kind", LARGE)
def test_an_answer_that_is_too_large_is_cut_off_and_refused(transport: Transport, kind: str) -> None:
    server = _sent(iter(LARGE[kind]))
    tracemalloc.start()
    began = time.monotonic()
    try:
        with pytest.raises(TransportFailed):
            get(transport, server.url)
        took, (_, peak) = time.monotonic() - began, tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        server.close()
    assert took < TIMEOUT + MARGIN
    assert peak < 8 * MAX_ANSWER_BYTES


def test_an_answer_that_trickles_in_ends_with_the_timeout(transport: Transport) -> None:
    def problem(kind: str) -> str | None:
        server = _sent(SLOW[kind]())
        began = time.monotonic()
        try:
            get(transport, server.url, 0.5)
        except TransportFailed as error:
            took = time.monotonic() - began
            return None if error.timed_out and took < 0.5 + MARGIN else f"{kind}: {error!r} after {took:.2f} s"
        finally:
            server.close()
        return f"{kind}: taken for an answer"

    with ThreadPoolExecutor(len(SLOW)) as threads:
        found = list(filter(None, threads.map(problem, SLOW)))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("trusted", [True, False])
def test_a_slow_answer_over_tls_ends_with_the_timeout_too(
    transport: Transport, authority: Authority, monkeypatch: pytest.MonkeyPatch, *, trusted: bool
) -> None:
    """Trusted: a byte at a time after the handshake. Not: a server that never answers the handshake."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))

    def drip(connection: socket.socket) -> None:
        connection.sendall(_HEAD + b"\r\n")
        while True:
            connection.sendall(b" ")
            time.sleep(0.02)

    with serving(drip, authority.context("127.0.0.1") if trusted else None) as server:
        if not trusted:
            server._talk = lambda connection: time.sleep(3)
        began = time.monotonic()
        with pytest.raises(TransportFailed) as caught:
            get(transport, server.url.replace("http://", "https://"), 0.5)
        assert caught.value.timed_out
        assert time.monotonic() - began < 0.5 + MARGIN


def test_connecting_and_answering_share_one_timeout(
    transport: Transport, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))

    class Late(ssl.SSLContext):
        def wrap_socket(self, *args: object, **kwargs: object) -> ssl.SSLSocket:
            time.sleep(0.4)  # a handshake that takes most of the time
            return super().wrap_socket(*args, **kwargs)  # type: ignore[arg-type]

    plain = authority.context("127.0.0.1")
    assert plain.verify_mode == ssl.CERT_NONE
    late = Late(ssl.PROTOCOL_TLS_SERVER)
    late.load_cert_chain(authority._folder / "127.0.0.12False.pem")
    with serving(lambda _: time.sleep(3), late) as server:
        began = time.monotonic()
        with pytest.raises(TransportFailed):
            get(transport, server.url, 0.5)
        assert time.monotonic() - began < 0.5 + 0.2


# Which secret goes where


def _fresh(project: Project) -> Project:
    """The project with a new organization and user, and nothing received yet."""
    from dataclasses import replace

    from tests.support.callers import new_caller

    project.stack.reset()
    project.stack.platform.settings.qr_delay = 0.2
    return replace(project, victim=new_caller(project.stack, project.processes))


def _everything(project: Project) -> None:
    """Creates, shows a QR, connects, replaces a dead key and a dead token, fails: all calls there are."""
    user, platform = project.victim, project.stack.platform
    assert user.create().status_code == 200
    assert user.provision().json()["status"] == "qr_issued"
    platform.revoke_tokens(user.row()["settings"]["wppAccountNumber"])
    assert user.create().status_code == 200
    platform.invalidate_key(user.row()["settings"]["wppAccountNumber"])
    assert user.provision().status_code == 200
    user.scan()
    assert user.provision().json()["status"] == "connected"
    for call in ("status", "rest.GET.profiles"):
        for server in (project.stack.supabase_server, project.stack.platform_server):
            server.inject(Fault(call=call, status=500, times=4))
    assert {user.create().status_code, user.provision().status_code} & {502, 504}
    project.stack.supabase_server.clear_faults()
    project.stack.platform_server.clear_faults()


def _text(received: Received) -> str:
    request = received.request
    headers = "\n".join(f"{name}: {value}" for name, value in request.headers.items())
    return f"{request.method} {request.path}?{request.query}\n{headers}\n{request.body.decode(errors='replace')}"


@pytest.fixture(scope="module")
def everything(projects: dict[str, Project]) -> Everything:
    """The project whose user made every kind of call, and what each system received meanwhile."""
    project = _fresh(projects["HS256"])
    _everything(project)
    systems = {"supabase": project.stack.supabase_server, "platform": project.stack.platform_server}
    return project, {system: list(server.received) for system, server in systems.items()}


def test_each_secret_goes_only_where_it_belongs(everything: Everything) -> None:
    project, sent = everything
    supabase, user = project.stack.supabase, project.victim
    settings = user.row()["settings"]
    seen: dict[str, set[str]] = {}
    secrets = {
        "service key": supabase.service_role_key,
        "anon key": supabase.anon_key,
        "JWT secret": supabase.jwt_secret,
        "WPP_SECRET": WPP_SECRET,
        "user's token": user.token,
        "signature of the user's token": user.token.rsplit(".", 1)[1],
        "platform key": settings["wppApiKey"],
        "platform token": settings["wppJwtToken"],
    }
    drawn = project.stack.platform.sessions[settings["wppAccountNumber"]].qrs.values()
    assert drawn
    secrets |= {f"QR {number}": qr for number, qr in enumerate(drawn)}
    for system, requests in sent.items():
        for received in requests:
            for name, secret in secrets.items():
                if secret in _text(received):
                    seen.setdefault(name, set()).add(f"{system} {received.call}")
    rest = {
        f"supabase rest.{call}"
        for call in ("GET.profiles", "GET.messenger_integrations", "POST.messenger_integrations")
    }
    stored = "supabase rest.PATCH.messenger_integrations"
    assert seen["service key"] <= rest | {stored}
    assert seen["anon key"] == {"supabase auth.user"}
    assert not {name for name in seen if name == "JWT secret" or name.startswith("QR")}
    assert seen["WPP_SECRET"] == {"platform create"}
    assert seen["user's token"] == seen["signature of the user's token"] == {"supabase auth.user"}
    assert seen["platform key"] == {"platform token", stored}
    assert seen["platform token"] <= {f"platform {call}" for call in ("status", "qr", "start", "webhook")} | {stored}


def test_no_secret_stands_in_an_address(everything: Everything) -> None:
    """Addresses end up in the logs of proxies."""
    _, sent = everything
    for received in sent["supabase"] + sent["platform"]:
        address = received.request.path.replace("/auth/token", "") + received.request.query
        assert not re.search(r"eyJ|key_|secret|token=", address)


def test_the_organization_is_not_named_to_the_platform_beyond_its_id(everything: Everything) -> None:
    project, sent = everything
    assert sent["platform"]
    for received in sent["platform"]:
        assert "@example.com" not in _text(received)
        assert project.victim.user_id not in _text(received)


@pytest.mark.parametrize("function", [CREATE, PROVISION])
def test_only_the_configured_hosts_are_called(function: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every address that the process connects to or looks up, as Python's own audit sees it."""
    from emulator.processes import function_process
    from emulator.stack import Stack

    folder = tmp_path_factory.mktemp("audit")
    log = folder / "log"
    (folder / "sitecustomize.py").write_text(
        "import os, sys\n"
        "def hook(event, args):\n"
        "    if event in ('socket.connect', 'socket.getaddrinfo', 'socket.sendto', 'subprocess.Popen', 'os.system'):\n"
        "        with open(os.environ['AUDIT_LOG'], 'a') as f:\n"
        "            print(event, args[1:] if event.startswith('socket.c') else args[:2], file=f)\n"
        "sys.addaudithook(hook)\n"
    )
    from tests.support.callers import new_caller

    with Stack() as stack:
        stack.platform.settings.qr_delay = 0.1
        env = stack.environment() | {"PYTHONPATH": str(folder), "AUDIT_LOG": str(log), "WPP_QR_WAIT_SECONDS": "2"}
        with function_process(function, env) as process:
            process.wait_until_ready()
            caller = new_caller(stack, {function: process})
            assert caller.call(function).status_code == 200
            caller.scan()
            assert caller.call(function).status_code == 200
        ports = {str(stack.supabase_server.port), str(stack.platform_server.port)}
    called = {line for line in log.read_text().splitlines() if "subprocess" not in line or "ldconfig" not in line}
    targets = {port for line in called for port in re.findall(r"'127\.0\.0\.1', (\d+)", line)} - {
        str(process.port),
        "0",
    }
    assert targets == ports
    assert all("127.0.0.1" in line for line in called), called
