"""Which connections are kept, for how long, and what happens where one has ended meanwhile."""

from __future__ import annotations

import socket
import ssl
import struct
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.support.servers import wait_for
from tests.support.tls_servers import HEAD, get, response, sending, serving
from wpp.http import connections
from wpp.http.messages import TransportFailed

if TYPE_CHECKING:
    from wpp.http.transport import Transport

OK = response(b"{}")
NOTHING = struct.pack("ii", 1, 0)  # SO_LINGER: closing resets the connection


@pytest.mark.parametrize("tls", [None, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_connection_is_kept(transport: Transport, trusted: ssl.SSLContext, tls: ssl.TLSVersion | None) -> None:
    """With TLS 1.3, session tickets arrive on it that nobody asked for."""
    if tls:
        trusted.minimum_version = trusted.maximum_version = tls
        trusted.num_tickets = 4
    with serving(sending(*[OK] * 3), trusted if tls else None) as server:
        for _ in range(3):
            assert get(transport, server.url).status == 200
            time.sleep(0.02)
        assert server.connections == 1


def test_a_connection_that_was_idle_for_too_long_is_not_used_again(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 30 < connections.MAX_IDLE < 60  # after which gateways close it
    with serving(sending(OK, OK)) as server:
        get(transport, server.url)
        monkeypatch.setattr(connections, "MAX_IDLE", 0.0)
        get(transport, server.url)
        assert server.connections == 2


@pytest.mark.parametrize(("method", "opened"), [("GET", 1), ("PATCH", 1), ("POST", 2)])
def test_what_must_not_be_sent_twice_gets_a_new_connection_sooner(
    transport: Transport, monkeypatch: pytest.MonkeyPatch, method: str, opened: int
) -> None:
    assert 2 < connections.MAX_IDLE_BEFORE_POST < 5  # after which Node.js closes it
    with serving(sending(OK, OK)) as server:
        get(transport, server.url)
        monkeypatch.setattr(connections, "MAX_IDLE_BEFORE_POST", 0.0)
        assert transport.send(method, server.url, {}, b"", 5).status == 200
        assert server.connections == opened


@pytest.mark.parametrize("reset", [False, True])
def test_a_connection_that_the_server_closed_is_not_used_again(transport: Transport, *, reset: bool) -> None:
    answered, ended = threading.Event(), threading.Event()

    def talk(connection: socket.socket) -> None:
        connection.sendall(OK)
        answered.wait(5)
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NOTHING)
        connection.close()
        ended.set()

    with serving(talk) as server:
        for _ in range(3):
            assert transport.send("POST", f"{server.url}/", {}, None, 2.0).status == 200
            answered.set()
            ended.wait(5)
            time.sleep(0.1)  # a busy kernel does not hand over the end at once
            for event in (answered, ended):
                event.clear()
        assert server.connections == 3


def test_a_connection_with_a_part_of_a_record_that_nobody_asked_for_is_not_used_again(
    transport: Transport, trusted: ssl.SSLContext
) -> None:
    sent = threading.Event()

    def talk(connection: socket.socket) -> None:
        connection.sendall(OK)
        socket.socket.sendall(connection, bytes([23, 3, 3, 0, 32, 0, 0]))  # below TLS
        sent.set()
        connection.recv(1)

    with serving(talk, trusted) as server:
        for _ in range(2):
            assert get(transport, server.url).status == 200
            sent.wait(5)
            sent.clear()
            time.sleep(0.1)  # a busy kernel does not hand over at once what was sent
        assert server.connections == 2


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("reset", [False, True])
def test_a_kept_connection_that_ends_with_the_next_request_is_reported_as_stale_at_once(
    transport: Transport, trusted: ssl.SSLContext, *, reset: bool, tls: bool
) -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(OK)
        connection.recv(65536)
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NOTHING)

    with serving(talk, trusted if tls else None) as server:
        get(transport, server.url)
        with pytest.raises(TransportFailed) as caught:
            get(transport, server.url)
        assert caught.value.stale
        assert not caught.value.timed_out
        assert get(transport, server.url).status == 200


def test_a_new_connection_that_ends_without_a_response_is_not_stale(transport: Transport) -> None:
    with serving(lambda connection: None) as server, pytest.raises(TransportFailed) as caught:
        get(transport, server.url)
    assert not caught.value.stale


def test_a_connection_that_was_made_anew_is_not_stale(transport: Transport) -> None:
    closed = threading.Event()

    def respond_once(connection: socket.socket) -> None:
        if server.connections == 1:
            connection.sendall(OK)
            connection.shutdown(socket.SHUT_WR)
        closed.set()

    with serving(respond_once) as server:
        get(transport, server.url)
        closed.wait(5)
        time.sleep(0.1)  # a busy kernel does not hand over the end at once
        with pytest.raises(TransportFailed) as caught:
            get(transport, server.url)
        assert server.connections == 2
    assert not caught.value.stale


def test_a_connection_in_the_middle_of_a_response_is_not_kept(transport: Transport) -> None:
    with serving(sending(HEAD + b"Content-Length: 100\r\n\r\n{}" + b" " * 50)) as server:
        with pytest.raises(TransportFailed):
            get(transport, server.url)
        server.talk = sending(OK)
        assert get(transport, server.url).status == 200
        assert server.connections == 2


def test_many_connections_to_one_host_are_used_and_kept_at_once(transport: Transport) -> None:
    together = threading.Barrier(100, timeout=10)

    def talk(connection: socket.socket) -> None:
        for number in range(2):
            if number:
                connection.recv(65536)
            together.wait()
            connection.sendall(OK)

    with serving(talk) as server, ThreadPoolExecutor(100) as threads:
        for _ in range(2):
            assert {r.status for r in threads.map(lambda _: get(transport, server.url, 10), range(100))} == {200}
        assert server.connections == 100


def test_disconnecting_drops_idle_connections_and_lets_requests_under_way_finish(transport: Transport) -> None:
    go_on = threading.Event()

    def late(connection: socket.socket) -> None:
        go_on.wait(5)
        connection.sendall(OK)

    with serving(sending(OK, OK)) as server, ThreadPoolExecutor(1) as threads:
        get(transport, server.url)
        server.talk = late
        transport.close()
        under_way = threads.submit(get, transport, server.url)
        wait_for(lambda: server.connections == 2)
        transport.close()
        go_on.set()
        assert under_way.result().status == 200
        server.talk = sending(OK)
        assert get(transport, server.url).status == 200
        assert server.connections == 3


def test_the_system_watches_over_connections(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, int] = {}
    times: list[int] = []
    connect = socket.socket.connect

    def look(self: socket.socket, address: tuple[str, int]) -> None:
        connect(self, address)
        options["keepalive"] = self.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        options["nodelay"] = self.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        if sys.platform == "linux":
            of_times = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_USER_TIMEOUT)
            times.extend(self.getsockopt(socket.IPPROTO_TCP, option) for option in of_times)

    monkeypatch.setattr(socket.socket, "connect", look)
    with serving(sending(OK)) as server:
        get(transport, server.url)
    # Others than Linux tell "on" by the bit of the option.
    assert {name: bool(value) for name, value in options.items()} == {"keepalive": True, "nodelay": True}
    assert times == ([5, 1, 3000] if sys.platform == "linux" else [])
