"""Exchanges on kept and prepared connections, with servers that go to the edge of HTTP and beyond."""

from __future__ import annotations

import gzip
import socket
import ssl
import subprocess
import sys
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from emulator.processes import ROOT
from tests.support.servers import wait_for
from tests.support.tls_servers import Authority, saying, serving
from wpp.faas.function import _Process
from wpp.http.messages import Response, TransportFailed
from wpp.http.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.stack import Stack
    from tests.support.tls_servers import Talk

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.fixture
def transport() -> Iterator[Transport]:
    made = Transport()
    yield made
    made.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """What a server uses that this process trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    return authority.context("127.0.0.1")


def get(transport: Transport, url: str, timeout: float = 2.0) -> Response:
    return transport.send("GET", f"{url}/", {"apikey": "credential"}, None, timeout)


def answer(body: bytes, *headers: bytes) -> bytes:
    return HEAD + b"Content-Length: %d\r\n" % len(body) + b"".join(h + b"\r\n" for h in headers) + b"\r\n" + body


def saying_in_turn(*answers: bytes) -> Talk:
    """One answer for each request on a connection."""

    def talk(connection: socket.socket) -> None:
        for number, each in enumerate(answers):
            if number and not connection.recv(65536):
                return
            connection.sendall(each)

    return talk


# Connections made before they are needed


def test_connections_are_made_before_the_first_call(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in stack.environment().items():
        monkeypatch.setenv(name, value)
    servers = (stack.supabase_server, stack.platform_server)

    def connections(expected: int) -> None:
        wait_for(lambda: [server.connections_accepted for server in servers] == [expected, expected])

    process = _Process()
    process.prepare()
    connections(2)
    assert get(process.runtime().transport, stack.supabase_server.url).status == 404
    process.runtime().connect()
    connections(2)
    process.begin_anew()
    connections(4)
    process.runtime().close()
    process.runtime().connect()  # never raises
    assert len(stack.platform_server.received) == 0


@pytest.mark.parametrize("tls", [None, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_connection_made_early_serves_the_first_calls_and_is_kept(
    transport: Transport, trusted: ssl.SSLContext, tls: ssl.TLSVersion | None
) -> None:
    if tls:
        trusted.maximum_version = tls
    with serving(saying_in_turn(*[answer(b"{}")] * 3), trusted if tls else None) as server:
        transport.expect(server.url)
        wait_for(lambda: server.connections == 2)
        time.sleep(0.1)  # for the session tickets of TLS 1.3
        for _ in range(3):
            assert get(transport, server.url).status == 200
        assert server.connections == 2


def test_a_handshake_that_fails_early_is_made_anew_by_the_call(transport: Transport, trusted: ssl.SSLContext) -> None:
    refused: list[socket.socket] = []

    class Moody(ssl.SSLContext):
        def wrap_socket(self, sock: socket.socket, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
            if len(refused) < 2:
                refused.append(sock)
                raise OSError("not yet")
            return trusted.wrap_socket(sock, *args, **kwargs)

    with serving(saying(answer(b"{}")), Moody(ssl.PROTOCOL_TLS_SERVER)) as server:
        transport.expect(server.url)
        wait_for(lambda: len(refused) == 2)
        time.sleep(0.1)
        assert get(transport, server.url).status == 200
        assert all(request.startswith(b"GET ") for request in server.requests)


def test_a_process_ends_while_connections_are_still_being_made() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        script = f"from wpp.http.transport import Transport\nimport time\nTransport().expect('{url}')\ntime.sleep(.3)\n"
        began = time.monotonic()
        subprocess.run([sys.executable, "-c", script], cwd=ROOT / "shared", check=True, timeout=20)
        assert time.monotonic() - began < 2.5


# Where one answer ends and the next begins


@pytest.mark.parametrize(
    "lengths",
    [[b"\xb2"], [b"9" * 5000], [b"1,000"], [b"-1"], [b"two"], [b""], [b"+10"], [b"1_0"], [b"2, 2"], [b"10", b"2"], [b"1", b"2"]],
)  # fmt: skip
def test_a_length_that_is_none_or_two_is_refused(transport: Transport, lengths: list[bytes]) -> None:
    head = HEAD + b"".join(b"Content-Length: " + length + b"\r\n" for length in lengths)
    with serving(saying(head + b"\r\n{}")) as server, pytest.raises(TransportFailed, match="rules of HTTP"):
        get(transport, server.url)


@pytest.mark.parametrize("length", [b"10", b"10 ", b"\t10\t", b"10\r\nContent-Length: 10"])
def test_an_answer_that_ends_too_early_is_none(transport: Transport, length: bytes) -> None:
    whole = HEAD + b"Content-Length: " + length + b"\r\n\r\n[1]"
    with serving(saying(whole)) as server, pytest.raises(TransportFailed, match="too early"):
        get(transport, server.url)


def test_an_interim_answer_does_not_hand_the_real_one_to_the_next_call(transport: Transport) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    with serving(saying_in_turn(early + answer(b'"first"'), answer(b'"second"'))) as server:
        with pytest.raises(TransportFailed):
            get(transport, server.url)
        server._talk = saying(answer(b'"second"'))
        assert get(transport, server.url).json == "second"
        assert server.connections == 2


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("size", [2, 8190, 8191, 8192, 8193, 20000])
def test_what_is_sent_beyond_an_answer_is_no_answer(
    transport: Transport, trusted: ssl.SSLContext, *, tls: bool, size: int
) -> None:
    first = HEAD + b"Content-Length: %d\r\n\r\n"
    body = b" " * (size - len(first % size)) if size > 200 else b"{}"
    beyond = first % len(body) + body + answer(b'"evil"')
    with serving(saying_in_turn(beyond, answer(b'"good"')), trusted if tls else None) as server:
        assert get(transport, server.url).body == body
        server._talk = saying(answer(b'"good"'))
        assert get(transport, server.url).json == "good"


def test_a_large_request_on_a_new_connection_waits_for_its_reader(transport: Transport) -> None:
    body = b"x" * 4_000_000

    def read_slowly(connection: socket.socket) -> None:
        left = len(body)
        while left > 65536:
            time.sleep(0.002)
            left -= len(connection.recv(65536))
        connection.sendall(answer(b"{}", b"Connection: close"))

    with serving(read_slowly) as server:
        server._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        assert transport.send("PATCH", f"{server.url}/", {}, body, 10).status == 200


def test_a_chunk_of_less_than_nothing_is_bounded_like_any_answer(transport: Transport) -> None:
    def endless(connection: socket.socket) -> None:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n")
        while True:
            connection.sendall(b" " * 65536)

    tracemalloc.start()
    try:
        with serving(endless) as server, pytest.raises(TransportFailed):
            get(transport, server.url)
        assert tracemalloc.get_traced_memory()[1] < 16_000_000
    finally:
        tracemalloc.stop()


# Answers that a proxy encoded


@pytest.mark.parametrize("encoding", [b"gzip", b"x-gzip", b" GZIP "])
@pytest.mark.parametrize("body", [gzip.compress(b'{"a": 1}'), gzip.compress(b'{"a"') + gzip.compress(b": 1}")])
def test_an_answer_that_a_proxy_compressed_is_read(transport: Transport, encoding: bytes, body: bytes) -> None:
    with serving(saying(answer(body, b"Content-Encoding: " + encoding))) as server:
        assert get(transport, server.url).json == {"a": 1}


@pytest.mark.parametrize("encoding", [b"br", b"gzip, gzip", b"gzip", b"identity"])
@pytest.mark.parametrize("body", [b"\x1f\x8b no gzip", gzip.compress(b"[" + b"1," * 5000)[:-20]])
def test_the_status_of_an_answer_that_cannot_be_decoded_counts(
    transport: Transport, encoding: bytes, body: bytes
) -> None:
    whole = answer(body, b"Content-Encoding: " + encoding, b"Retry-After: 5").replace(b"200 OK", b"503 Busy")
    with serving(saying(whole)) as server:
        reply = get(transport, server.url)
        assert (reply.status, reply.headers["retry-after"], reply.json) == (503, "5", None)


def test_of_two_headers_with_one_name_the_first_counts(transport: Transport) -> None:
    with serving(saying(answer(b"{}", b"Retry-After: 1", b"retry-after: 2"))) as server:
        assert get(transport, server.url).headers["retry-after"] == "1"
