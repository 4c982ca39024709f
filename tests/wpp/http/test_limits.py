"""Responses that are too large: cut off early, in little memory."""

from __future__ import annotations

import gzip
import itertools
import time
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from tests.support.tls_servers import HEAD, get, response, sending, serving
from wpp.http.messages import TransportFailed
from wpp.http.transport import MAX_BODY_BYTES, Transport

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable

TIMEOUT = 2.0
MEMORY = 8_000_000  # bytes
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
BOMB = gzip.compress(b"\0" * (64 * 1024 * 1024), 3)
GZIP = HEAD + b"Content-Encoding: gzip\r\n"


def _endless(head: bytes, piece: bytes) -> Iterable[bytes]:
    return itertools.chain([head], itertools.repeat(piece))


LARGE: dict[str, Iterable[bytes]] = {
    "one byte too many": [response(b" " * (MAX_BODY_BYTES + 1))],
    "announced as a terabyte": _endless(HEAD + b"Content-Length: 1099511627776\r\n\r\n", b" " * 65536),
    "without an end": _endless(HEAD + b"\r\n", b" " * 65536),
    "chunks without an end": _endless(CHUNKED, b"1000\r\n" + b" " * 4096 + b"\r\n"),
    "small chunks without an end": _endless(CHUNKED, b"2\r\n  \r\n" * 1000),
    "one endless chunk": _endless(CHUNKED + b"ffffffffff\r\n", b" " * 65536),
    "a chunk of less than nothing": _endless(CHUNKED + b"-1\r\n", b" " * 65536),
    "an endless chunk size": _endless(CHUNKED, b"0" * 65536),
    "an endless chunk extension": _endless(CHUNKED + b"2;a=", b"b" * 65536),
    "endless trailers": _endless(CHUNKED + b"2\r\n{}\r\n0\r\n", b"X-A: b\r\n" * 100),
    "a gzip bomb": [GZIP + b"Content-Length: %d\r\n\r\n" % len(BOMB) + BOMB],
    "a gzip bomb in chunks": [GZIP + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(BOMB) + BOMB + b"\r\n0\r\n\r\n"],
    "a gzip bomb in a gzip bomb": [response(gzip.compress(BOMB), b"Content-Encoding: gzip, gzip")],
    "many headers": _endless(HEAD, b"X-A: b\r\n" * 100),
    "many long headers": [response(b"{}", *[b"X-%d: " % n + b"b" * 60_000 for n in range(33)])],
    "long headers without an end": _endless(HEAD, b"X-A: " + b"b" * 60_000 + b"\r\n"),
    "an endless header": _endless(HEAD + b"X-A: ", b"b" * 65536),
    "an endless status line": _endless(b"HTTP/1.1 200 ", b"O" * 65536),
    "100 Continue without an end": _endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
}


def test_a_response_of_the_largest_size_is_taken(transport: Transport) -> None:
    with serving(sending(response(b" " * MAX_BODY_BYTES, b"Connection: close"))) as server:
        assert len(get(transport, server.url).body) == MAX_BODY_BYTES


@pytest.mark.parametrize("kind", LARGE)
def test_a_response_that_is_too_large_is_cut_off_and_refused(transport: Transport, kind: str) -> None:
    def talk(connection: socket.socket) -> None:
        for piece in LARGE[kind]:
            connection.sendall(piece)

    with serving(talk) as server:
        tracemalloc.start()
        began = time.monotonic()
        try:
            with pytest.raises(TransportFailed):
                get(transport, server.url, TIMEOUT)
            took, (_, peak) = time.monotonic() - began, tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert took < TIMEOUT + 1
    assert peak < MEMORY


def test_a_response_that_is_too_large_is_called_so(transport: Transport) -> None:
    large = response(b" " * (MAX_BODY_BYTES + 1))
    with serving(sending(large)) as server, pytest.raises(TransportFailed, match="too large"):
        get(transport, server.url)
