"""To which addresses of a host a connection is tried, in which order, and with how much of the time."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from wpp.http.addresses import SOCKET_OPTIONS, connected_socket
from wpp.http.sockets import PlainSocket

if TYPE_CHECKING:
    from collections.abc import Callable

    Found = list[tuple[Any, ...]]

ANSWERING = "192.0.2.80"
"""The only address here at which somebody accepts connections."""


class Trying(PlainSocket):
    """Keeps where it should connect to, and in how many seconds, and connects to nobody."""

    tried: ClassVar[list[Any]]
    made: ClassVar[list[Trying]]

    def connect(self, address: Any) -> None:
        self.tried.append((*address, self.gettimeout()))
        self.made.append(self)
        if address[0] != ANSWERING:
            raise ConnectionRefusedError(f"nobody at {address[0]}")


@pytest.fixture(autouse=True)
def _nothing_tried() -> None:
    Trying.tried, Trying.made = [], []


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """Has the next look-ups find these addresses; what was looked up is returned."""

    def find(*addresses: str) -> list[Any]:
        looked_up: list[Any] = []

        def getaddrinfo(*arguments: Any, **options: Any) -> Found:
            looked_up.append((*arguments, options))
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, arguments[1])) for one in addresses]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        return looked_up

    return find


def connect(host: str, seconds: float) -> Trying:
    return connected_socket(Trying, (host, 443), SOCKET_OPTIONS, lambda: seconds)


@pytest.mark.parametrize(
    ("seconds", "shares"),
    [(9.0, [2.0, 2.0, 9.0]), (6.0, [2.0, 2.0, 6.0]), (3.0, [1.0, 1.5, 3.0]), (0.75, [0.25, 0.375, 0.75])],
)
def test_each_address_has_its_share_of_the_time_left_but_two_seconds_at_most_and_the_last_all_of_it(
    found: Callable[..., list[Any]], seconds: float, shares: list[float]
) -> None:
    addresses = ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
    found(*addresses)
    with pytest.raises(ConnectionRefusedError, match=r"nobody at 192\.0\.2\.3"):
        connect("dead.example", seconds)
    assert Trying.tried == [(address, 443, share) for address, share in zip(addresses, shares, strict=True)]
    assert [one.fileno() for one in Trying.made] == [-1, -1, -1]


def test_the_first_address_that_accepts_is_used(found: Callable[..., list[Any]]) -> None:
    looked_up = found("192.0.2.1", ANSWERING, "192.0.2.3")
    with connect("half-dead.example", 9.0) as connected:
        assert connected is Trying.made[-1]
        assert connected.fileno() >= 0
        assert (connected.family, connected.type, connected.proto) == (socket.AF_INET, socket.SOCK_STREAM, 6)
    assert Trying.tried == [("192.0.2.1", 443, 2.0), (ANSWERING, 443, 2.0)]
    assert looked_up == [("half-dead.example", 443, {"type": socket.SOCK_STREAM})]


def test_a_connection_has_the_options_that_are_asked_for(found: Callable[..., list[Any]]) -> None:
    found(ANSWERING)
    with connect("alive.example", 9.0) as connected:
        for level, option, value in SOCKET_OPTIONS:
            # Others than Linux tell "on" by the bit of the option.
            assert connected.getsockopt(level, option) == value or (value == 1 and connected.getsockopt(level, option))


def test_a_name_without_an_address_cannot_be_reached(found: Callable[..., list[Any]]) -> None:
    found()
    with pytest.raises(OSError, match=r"^the name has no address$"):
        connect("nowhere.example", 9.0)


@pytest.mark.parametrize(
    ("host", "peer"), [("192.0.2.7", ("192.0.2.7", 443)), ("2001:db8::7", ("2001:db8::7", 443, 0, 0))]
)
def test_an_address_is_not_looked_up(found: Callable[..., list[Any]], host: str, peer: tuple[Any, ...]) -> None:
    looked_up = found()
    with pytest.raises(ConnectionRefusedError):
        connect(host, 9.0)
    assert Trying.tried == [(*peer, 9.0)]
    assert Trying.made[0].family == (socket.AF_INET6 if ":" in host else socket.AF_INET)
    assert looked_up == []


def test_each_name_and_port_is_looked_up_anew_once_the_last_look_up_has_ended(found: Callable[..., list[Any]]) -> None:
    looked_up = found(ANSWERING)
    for _ in range(2):
        connect("again.example", 9.0).close()
    assert len(looked_up) == 2


def test_a_look_up_has_the_time_that_is_left_and_those_who_come_meanwhile_wait_for_the_same_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def hang(*_: Any, **__: Any) -> Found:
        looked_up.append(1)
        began.set()
        may_end.wait(10)
        return []

    looked_up: list[int] = []
    began, may_end = threading.Event(), threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", hang)
    for _ in range(2):
        with pytest.raises(TimeoutError):
            connect("slow.example", 0.01)
    assert began.wait(10)
    may_end.set()
    assert len(looked_up) == 1
