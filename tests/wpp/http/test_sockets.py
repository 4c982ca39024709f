"""A socket that has one deadline for all that it receives, and receives no more than a response needs."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from wpp.http import sockets
from wpp.http.sockets import MAX_REST, PlainSocket, ResponseTooLarge

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = 256 * 1024


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic clock of the sockets."""
    now = [100.0]
    monkeypatch.setattr(sockets, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


@pytest.fixture
def pair() -> Iterator[tuple[PlainSocket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with PlainSocket(fileno=ours.detach()) as bounded, theirs:
        yield bounded, theirs


def receive(bounded: PlainSocket, theirs: socket.socket, size: int) -> int:
    """What is sent in pieces, received in pieces."""
    buffer, left = bytearray(16 * 1024), size
    while left:
        theirs.sendall(bytes(min(left, len(buffer))))
        left -= bounded.recv_into(buffer, min(left, len(buffer)))
    return size


def test_a_timeout_is_for_all_that_is_received(pair: tuple[PlainSocket, socket.socket], seconds: list[float]) -> None:
    bounded, theirs = pair
    bounded.settimeout(5.0)
    assert bounded.gettimeout() == 5.0
    seconds[0] = 102.0
    assert receive(bounded, theirs, 3) == 3
    assert bounded.gettimeout() == 3.0
    seconds[0] = 104.5
    assert receive(bounded, theirs, 3) == 3
    theirs.sendall(b"late")
    seconds[0] = 105.0
    with pytest.raises(TimeoutError):
        bounded.recv_into(bytearray(4))


def test_without_a_timeout_it_waits_for_as_long_as_it_takes(
    pair: tuple[PlainSocket, socket.socket], seconds: list[float]
) -> None:
    bounded, theirs = pair
    for set_anew in (False, True):
        if set_anew:
            bounded.settimeout(5.0)
            bounded.settimeout(None)
        seconds[0] += 1000.0
        assert receive(bounded, theirs, 3) == 3
        assert bounded.gettimeout() is None


def test_what_is_received_is_as_with_any_socket(pair: tuple[PlainSocket, socket.socket]) -> None:
    bounded, theirs = pair
    theirs.sendall(b"12345")
    buffer = bytearray(5)
    assert bounded.recv_into(buffer, flags=socket.MSG_PEEK) == 5
    assert buffer == b"12345"
    assert (bounded.recv_into(buffer, 3), bounded.recv_into(buffer, 3)) == (3, 2)
    assert buffer == b"45345"


def test_a_new_socket_takes_a_head_and_no_more(pair: tuple[PlainSocket, socket.socket]) -> None:
    bounded, theirs = pair
    receive(bounded, theirs, HEAD)
    with pytest.raises(ResponseTooLarge):
        receive(bounded, theirs, 1)


def test_each_timeout_is_for_another_response_with_a_head_and_then_a_rest(
    pair: tuple[PlainSocket, socket.socket],
) -> None:
    bounded, theirs = pair
    for _ in range(2):
        bounded.settimeout(5.0)
        receive(bounded, theirs, HEAD)
        bounded.bytes_left = MAX_REST
        receive(bounded, theirs, MAX_REST)
    with pytest.raises(ResponseTooLarge):
        receive(bounded, theirs, 1)
