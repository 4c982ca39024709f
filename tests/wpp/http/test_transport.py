"""What is taken for a response, with servers that go to the edge of HTTP and beyond."""

from __future__ import annotations

import gzip
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.tls_servers import HEAD, get, response, sending, serving
from wpp.http.messages import TransportFailed

if TYPE_CHECKING:
    import socket
    import ssl

    from wpp.http.transport import Transport


@pytest.mark.parametrize("status", [300, 301, 302, 303, 305, 307, 308])
def test_a_redirect_is_a_response(transport: Transport, status: int) -> None:
    with serving(sending(response(b"{}"))) as elsewhere:
        moved = response(b"", b"Location: %s/" % elsewhere.url.encode()).replace(b"200 OK", b"%d Moved" % status)
        with serving(sending(moved)) as server:
            assert get(transport, server.url).status == status
        assert elsewhere.connections == 0


def test_a_server_that_cannot_be_reached_is_reported(transport: Transport) -> None:
    with pytest.raises(TransportFailed, match="cannot be reached") as caught:
        get(transport, "http://127.0.0.1:1")
    assert not caught.value.timed_out


@pytest.mark.parametrize("url", ["", "nothing", "ftp://127.0.0.1", "http://", "http://[", "http://127.0.0.1:port"])
def test_an_address_that_cannot_be_called_is_reported(transport: Transport, url: str) -> None:
    with pytest.raises(TransportFailed):
        transport.send("GET", url, {}, None, 1)


def test_the_request_is_sent_as_it_is(transport: Transport) -> None:
    sent = b'{"a": 1}'

    def read_whole(connection: socket.socket) -> None:
        while not server.requests[0].endswith(sent):
            server.requests[0] += connection.recv(65536)
        connection.sendall(response(b"{}"))

    with serving(read_whole) as server:
        url = f"{server.url}/rest/v1/rows?select=*,a(b)&id=in.(%22x%22)"
        transport.send("PATCH", url, {"Authorization": "Bearer x"}, sent, 2)
        head, _, body = server.requests[0].partition(b"\r\n\r\n")
    first, *headers = head.decode().split("\r\n")
    assert first == "PATCH /rest/v1/rows?select=*,a(b)&id=in.(%22x%22) HTTP/1.1"
    assert sorted(header.lower() for header in headers) == [
        "accept-encoding: identity",
        "authorization: bearer x",
        "content-length: 8",
        f"host: 127.0.0.1:{server.port}",
        "user-agent: wpp-functions",
    ]
    assert body == sent


# Where one response ends and the next begins


@pytest.mark.parametrize(
    "lengths",
    [[b"\xb2"], [b"9" * 5000], [b"1,000"], [b"-1"], [b"two"], [b""], [b"+10"], [b"1_0"], [b"2, 2"], [b"10", b"2"], [b"1", b"2"]],
)  # fmt: skip
def test_a_length_that_is_not_one_number_is_refused(transport: Transport, lengths: list[bytes]) -> None:
    head = HEAD + b"".join(b"Content-Length: " + length + b"\r\n" for length in lengths)
    problem = r"^broke the (connection or the )?rules of HTTP$"
    with serving(sending(head + b"\r\n{}")) as server, pytest.raises(TransportFailed, match=problem):
        get(transport, server.url)


@pytest.mark.parametrize("length", [b"10", b"10 ", b"\t10\t", b"10\r\nContent-Length: 10"])
def test_a_response_that_ends_too_early_is_refused(transport: Transport, length: bytes) -> None:
    whole = HEAD + b"Content-Length: " + length + b"\r\n\r\n[1]"
    with serving(sending(whole)) as server, pytest.raises(TransportFailed, match="broke the connection"):
        get(transport, server.url)


@pytest.mark.parametrize("body", [b"2\r\n{}\r\n", b"2\r\n{", b"", b"two\r\n{}\r\n0\r\n\r\n"])
def test_chunks_that_end_too_early_are_refused(transport: Transport, body: bytes) -> None:
    whole = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + body
    with serving(sending(whole)) as server, pytest.raises(TransportFailed, match="broke the connection"):
        get(transport, server.url)


def test_chunks_are_put_together(transport: Transport) -> None:
    chunks = (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"2;a=b\r\n[1\r\n2\r\n,2\r\n1\r\n]\r\n0\r\nX-Trailer: a\r\n\r\n"
    )
    with serving(sending(chunks, response(b"{}"))) as server:
        assert get(transport, server.url).json == [1, 2]
        assert get(transport, server.url).json == {}
        assert server.connections == 1


@pytest.mark.parametrize("status", [b"101 Switching Protocols", b"103 Early Hints", b"199 What"])
def test_an_interim_response_does_not_hand_the_final_one_to_the_next_request(
    transport: Transport, status: bytes
) -> None:
    early = b"HTTP/1.1 " + status + b"\r\nLink: </a>\r\n\r\n"
    with serving(sending(early + response(b'"first"'), response(b'"second"'))) as server:
        with pytest.raises(TransportFailed):
            get(transport, server.url)
        server.talk = sending(response(b'"second"'))
        assert get(transport, server.url).json == "second"
        assert server.connections == 2


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("size", [2, 8190, 8191, 8192, 8193, 20000])
def test_what_is_sent_beyond_a_response_is_not_taken_for_one(
    transport: Transport, trusted: ssl.SSLContext, *, tls: bool, size: int
) -> None:
    head = HEAD + b"Content-Length: %d\r\n\r\n"
    body = b" " * (size - len(head % size)) if size > 200 else b"{}"
    beyond = head % len(body) + body + response(b'"evil"')
    with serving(sending(beyond, response(b'"good"')), trusted if tls else None) as server:
        assert get(transport, server.url).body == body
        server.talk = sending(response(b'"good"'))
        assert get(transport, server.url).json == "good"


def test_a_large_request_waits_for_its_reader(transport: Transport) -> None:
    body = b"x" * 4_000_000

    def read_slowly(connection: socket.socket) -> None:
        left = len(body)
        while left > 65536:
            time.sleep(0.002)
            left -= len(connection.recv(65536))
        connection.sendall(response(b"{}", b"Connection: close"))

    with serving(read_slowly) as server:
        assert transport.send("PATCH", f"{server.url}/", {}, body, 10).status == 200


@pytest.mark.parametrize(
    "bytes_sent",
    [b"", b"\r\n", b"SSH-2.0-x\r\n", b"HTTP/2 200\r\n\r\n", b"HTTP/1.1 two OK\r\n\r\n", b"HTTP/1.1 99 No\r\n\r\n", b"\0" * 100],
)  # fmt: skip
def test_what_is_not_http_is_refused(transport: Transport, bytes_sent: bytes) -> None:
    with serving(sending(bytes_sent)) as server, pytest.raises(TransportFailed, match="rules of HTTP"):
        get(transport, server.url)


# Responses that a proxy encoded


@pytest.mark.parametrize("encoding", [b"gzip", b"x-gzip", b"GZIP"])
@pytest.mark.parametrize(
    "body", [gzip.compress(b'{"a": 1}', mtime=0), gzip.compress(b'{"a"', mtime=0) + gzip.compress(b": 1}", mtime=0)]
)
def test_a_response_that_a_proxy_compressed_is_read(transport: Transport, encoding: bytes, body: bytes) -> None:
    with serving(sending(response(body, b"Content-Encoding: " + encoding))) as server:
        assert get(transport, server.url).json == {"a": 1}


@pytest.mark.parametrize("encoding", [b"br", b"gzip, gzip", b"gzip", b"identity", b"gzip" + b", gzip" * 50])
@pytest.mark.parametrize("body", [b"\x1f\x8b no gzip", gzip.compress(b"[" + b"1," * 5000, mtime=0)[:-20]])
def test_the_status_of_a_response_that_cannot_be_decoded_counts(
    transport: Transport, encoding: bytes, body: bytes
) -> None:
    whole = response(body, b"Content-Encoding: " + encoding, b"Retry-After: 5").replace(b"200 OK", b"503 Busy")
    with serving(sending(whole)) as server:
        reply = get(transport, server.url)
        assert (reply.status, reply.headers["retry-after"], reply.json) == (503, "5", None)


def test_a_body_that_cannot_be_decoded_counts_as_empty(transport: Transport) -> None:
    with serving(sending(response(b"\x1f\x8b no gzip", b"Content-Encoding: gzip"))) as server:
        assert get(transport, server.url).body == b""
