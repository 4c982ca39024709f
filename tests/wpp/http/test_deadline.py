"""One deadline for looking up, connecting, and the whole response, however slowly it arrives."""

from __future__ import annotations

import gzip
import itertools
import socket
import ssl
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from emulator.processes import free_port
from tests.support.tls_servers import HEAD, get, response, sending, serving
from wpp.http.messages import TransportFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.support.tls_servers import Authority
    from wpp.http.transport import Transport

    Names = dict[str, Callable[[], list[str]]]

FAMILIES = {"of a family that the system lacks": 63}
TIMEOUT = 1.5
MARGIN = 1.0
"""Seconds: for a busy machine, and less than a timeout that starts anew with each byte would add."""
MANY = 200
"""Pieces: twice as long as anything may take."""
OK = response(b"{}", b"Connection: close")
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
GZIP = gzip.compress(bytes(range(256)))[:-20]

SLOW: dict[str, tuple[bytes, Iterable[bytes]]] = {
    "nothing at all": (b"", []),
    "the status line, a byte at a time": (b"HTTP/1.1 200 ", itertools.repeat(b"O", MANY)),
    "a header, a byte at a time": (HEAD + b"X-A: ", itertools.repeat(b"b", MANY)),
    "100 Continue for ever": (b"", itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n", MANY)),
    "the body, a byte at a time": (HEAD + b"\r\n", itertools.repeat(b" ", MANY)),
    "bytes until shortly before the end, then none": (HEAD + b"\r\n", [b" "] * 70),
    "half a response": (HEAD + b"Content-Length: 10\r\n\r\n{}", []),
    "small chunks": (CHUNKED, itertools.repeat(b"1\r\n \r\n", MANY)),
    "a chunk, a byte at a time": (CHUNKED + b"ffff\r\n", itertools.repeat(b" ", MANY)),
    "a trailer, a byte at a time": (CHUNKED + b"0\r\nX-A: ", itertools.repeat(b"b", MANY)),
    "gzip, a byte at a time": (HEAD + b"Content-Encoding: gzip\r\n\r\n" + GZIP[:10], [b"%c" % byte for byte in GZIP[10:]]),
}  # fmt: skip


def _dripping(head: bytes, pieces: Iterable[bytes]) -> Callable[[socket.socket], None]:
    def talk(connection: socket.socket) -> None:
        connection.sendall(head)
        for piece in pieces:
            time.sleep(0.02)
            connection.sendall(piece)
        connection.recv(1)  # until the client ends it

    return talk


def _problem(transport: Transport, url: str) -> str | None:
    began = time.monotonic()
    try:
        get(transport, url, TIMEOUT)
    except TransportFailed as error:
        took = time.monotonic() - began
        return None if error.timed_out and took < TIMEOUT + MARGIN else f"{error!r} after {took:.2f} s"
    return "taken for a response"


@pytest.mark.parametrize("tls", [False, True])
def test_a_response_that_trickles_in_ends_with_the_timeout(
    transport: Transport, trusted: ssl.SSLContext, *, tls: bool
) -> None:
    with serving(sending(OK), trusted if tls else None) as server:
        get(transport, server.url)  # the authorities are read, which takes its time once

    def problem(kind: str) -> str | None:
        with serving(_dripping(*SLOW[kind]), trusted if tls else None) as server:
            return _problem(transport, server.url)

    with ThreadPoolExecutor(len(SLOW)) as threads:
        problems = dict(zip(SLOW, threads.map(problem, SLOW), strict=True))
    assert problems == dict.fromkeys(SLOW)


def test_small_chunks_without_a_pause_end_with_the_timeout(transport: Transport) -> None:
    def flood(connection: socket.socket) -> None:
        connection.sendall(CHUNKED)
        while True:
            connection.sendall(b"1\r\n \r\n" * 1000)

    with serving(flood) as server:
        began = time.monotonic()
        with pytest.raises(TransportFailed, match="did not answer in time"):
            get(transport, server.url, 0.1)
        assert time.monotonic() - began < 0.1 + MARGIN


@pytest.mark.parametrize("first", [b"", b"\x16\x03\x03\x40\x00"], ids=["silent", "a record, a byte at a time"])
def test_a_tls_handshake_that_never_ends_ends_with_the_timeout(
    transport: Transport, trusted: ssl.SSLContext, first: bytes
) -> None:
    with serving(sending(OK), trusted) as server:
        get(transport, server.url)  # the authorities are read, which takes its time once
    with serving(_dripping(first, itertools.repeat(b"\0", MANY) if first else [])) as server:
        assert _problem(transport, server.url.replace("http://", "https://")) is None


def test_connecting_and_the_response_share_one_timeout(transport: Transport, trusted: ssl.SSLContext) -> None:
    handshake = trusted.wrap_socket

    class Late(ssl.SSLContext):
        def wrap_socket(self, sock: socket.socket, *args: object, **kwargs: object) -> ssl.SSLSocket:
            time.sleep(TIMEOUT * 0.8)
            return handshake(sock, server_side=True)

    with serving(_dripping(b"", []), Late(ssl.PROTOCOL_TLS_SERVER)) as server:
        assert _problem(transport, server.url) is None


def test_a_request_that_nobody_reads_ends_with_the_timeout(transport: Transport, trusted: ssl.SSLContext) -> None:
    done = threading.Event()

    def read_little(connection: socket.socket) -> None:
        while not done.wait(0.02):
            connection.recv(65536)

    for context in (None, trusted):
        with serving(read_little, context) as server:
            began = time.monotonic()
            with pytest.raises(TransportFailed, match="did not answer in time"):
                transport.send("PATCH", f"{server.url}/", {}, bytes(64_000_000), TIMEOUT)
            assert time.monotonic() - began < TIMEOUT + MARGIN
    done.set()


# Looking up a name


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """Names of this test's own, and how each is looked up."""
    known: Names = {}
    real = socket.getaddrinfo

    def look_up(host: str, port: int, *rest: object, **options: object) -> object:
        if host not in known:
            return real(host, port, *rest, **options)  # type: ignore[arg-type]
        found = known[host]()
        return [
            (FAMILIES.get(address, socket.AF_INET), socket.SOCK_STREAM, 6, "", (address, port)) for address in found
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return known


def test_a_name_is_looked_up_once_for_each_connection(transport: Transport, names: Names) -> None:
    looked_up_on = []

    def look_up() -> list[str]:
        looked_up_on.append(threading.current_thread())
        return ["127.0.0.1"]

    names["upstream.example"] = look_up
    with serving(sending(*[response(b"{}")] * 3)) as server:
        for _ in range(3):
            assert get(transport, f"http://upstream.example:{server.port}").status == 200
        assert server.connections == 1
    assert len(looked_up_on) == 1
    assert looked_up_on[0] is not threading.current_thread()


def test_looking_up_a_name_ends_with_the_timeout(transport: Transport, names: Names) -> None:
    found = threading.Event()

    def look_up() -> list[str]:
        found.wait(10)
        return ["127.0.0.1"]

    names["slow.example"] = look_up
    assert _problem(transport, "http://slow.example:1") is None
    found.set()


def test_those_who_wait_for_the_same_name_share_its_lookup(transport: Transport, names: Names) -> None:
    lookups, may_end = [], threading.Event()

    def look_up() -> list[str]:
        lookups.append(1)
        may_end.wait(10)
        return ["127.0.0.1"]

    names["shared.example"] = look_up
    with serving(sending(response(b"{}"))) as server, ThreadPoolExecutor(3) as threads:
        urls = [f"http://shared.example:{server.port}"] * 3
        assert [*threads.map(lambda url: _problem(transport, url), urls)] == [None] * 3
        assert len(lookups) == 1
        may_end.set()
        assert get(transport, urls[0]).status == 200
    assert len(lookups) <= 2


def test_a_name_that_does_not_exist_cannot_be_reached(transport: Transport, names: Names) -> None:
    def look_up() -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    names["nowhere.example"] = look_up
    with pytest.raises(TransportFailed, match="cannot be reached"):
        get(transport, "http://nowhere.example:1")


# Several addresses


@pytest.fixture
def silent() -> Iterator[tuple[list[str], int]]:
    """Three addresses that say nothing: nobody accepts, and no more connections fit into the queue. With their port."""
    if sys.platform != "linux":
        pytest.skip("only Linux has all of 127.0.0.0/8")
    with ExitStack() as stack:
        # A port of 127.0.0.1 too, for a test that has somebody answer there.
        port, addresses = free_port(), ["127.0.0.2", "127.0.0.3", "127.0.0.4"]
        for address in addresses:
            listener = stack.enter_context(socket.socket())
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address, port))
            listener.listen(0)
            for _ in range(3):
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex((address, port))
        yield addresses, port


def test_all_addresses_of_a_host_share_one_timeout(
    transport: Transport, names: Names, silent: tuple[list[str], int]
) -> None:
    addresses, port = silent
    names["several.example"] = lambda: addresses
    assert _problem(transport, f"http://several.example:{port}") is None


@pytest.mark.parametrize("count", [1, 3])
def test_dead_addresses_leave_enough_time_for_a_live_one(
    transport: Transport, names: Names, silent: tuple[list[str], int], count: int
) -> None:
    addresses, port = silent
    names["several.example"] = lambda: [*addresses[:count], "127.0.0.1"]
    with serving(sending(OK), port=port) as server:
        assert get(transport, f"http://several.example:{server.port}", TIMEOUT * 4).status == 200


def test_a_dead_address_costs_two_seconds_however_much_time_there_is(
    transport: Transport, names: Names, silent: tuple[list[str], int]
) -> None:
    addresses, port = silent
    names["several.example"] = lambda: [addresses[0], "127.0.0.1"]
    with serving(sending(OK), port=port) as server:
        began = time.monotonic()
        assert get(transport, f"http://several.example:{server.port}", 28).status == 200
    assert time.monotonic() - began < 2 + MARGIN


def test_a_handshake_has_all_the_time_even_where_there_are_more_addresses(
    transport: Transport, names: Names, authority: Authority, trusted: ssl.SSLContext
) -> None:
    handshake = authority.context("several.example").wrap_socket

    class Late(ssl.SSLContext):
        def wrap_socket(self, sock: socket.socket, *args: object, **kwargs: object) -> ssl.SSLSocket:
            time.sleep(TIMEOUT * 1.4)
            return handshake(sock, server_side=True)

    names["several.example"] = lambda: ["127.0.0.1", "127.0.0.2"]
    with serving(sending(OK), Late(ssl.PROTOCOL_TLS_SERVER)) as server:
        assert get(transport, f"https://several.example:{server.port}", TIMEOUT * 2.5).status == 200


@pytest.mark.parametrize("address", ["127.0.0.9", *FAMILIES])
def test_an_address_that_cannot_be_reached_is_passed_over_at_once(
    transport: Transport, names: Names, address: str
) -> None:
    names["several.example"] = lambda: [address, "127.0.0.1"]
    with serving(sending(OK)) as server:
        assert get(transport, f"http://several.example:{server.port}", TIMEOUT).status == 200
