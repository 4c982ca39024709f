"""A socket connected to a host, within the time that the whole request has: a slow resolver is left behind, and a dead first
address leaves time for the second."""

from __future__ import annotations

import socket
import sys
import threading
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from urllib3.connection import HTTPConnection

from wpp.http.threads import submit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

S = TypeVar("S", bound=socket.socket)

_ONE_ADDRESS = 2.0  # seconds for an address while there are others: long enough for one lost packet
SOCKET_OPTIONS = [*HTTPConnection.default_socket_options, (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
if sys.platform == "linux":
    # What nobody acknowledges for 3 seconds is lost: data, and the probes that are sent after 5 seconds of silence.
    SOCKET_OPTIONS += [
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 5),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 3000),
    ]
_looking_up = threading.Lock()
_lookups: dict[tuple[str, int], Future[list[Any]]] = {}
"""The last one of each name: the few that the configuration has."""


def connected_socket(
    kind: type[S], host: tuple[str, int], options: Iterable[Any], seconds_left: Callable[[], float]
) -> S:
    """A socket of this class, connected to one of the addresses of the host's name, which share the time left.

    Raises OSError, UnicodeError for a name that cannot be one.
    """
    addresses = _addresses(*host, seconds_left())
    for others in reversed(range(len(addresses))):
        share = min(seconds_left() / (others + 1), _ONE_ADDRESS) if others else seconds_left()
        try:
            return _connected_to(kind, addresses[-1 - others], options, share)
        except OSError:
            if not others:
                raise
    raise OSError("the name has no address")


def _connected_to(kind: type[S], address: Any, options: Iterable[Any], timeout: float) -> S:
    family, type_, protocol, _, peer = address
    connecting = kind(family, type_, protocol)
    try:
        for option in options:
            connecting.setsockopt(*option)
        connecting.settimeout(timeout)
        connecting.connect(peer)
    except BaseException:
        connecting.close()
        raise
    return connecting


def _addresses(host: str, port: int, timeout: float) -> list[Any]:
    """What `getaddrinfo` returns within `timeout` seconds. A resolver cannot be interrupted: a slow one is left on its thread."""
    for family, rest in ((socket.AF_INET, ()), (socket.AF_INET6, (0, 0))):
        with suppress(OSError):  # not an address
            socket.inet_pton(family, host)
            return [(family, socket.SOCK_STREAM, 0, "", (host, port, *rest))]
    return _look_up(host, port).result(timeout)


def _look_up(host: str, port: int) -> Future[list[Any]]:
    """Once at a time for all who wait for the same name. gevent has all names looked up on ten threads, and waits for a free one
    without a timeout: ten calls of a name whose resolver hangs would hold up the calls of every other host.
    """
    with _looking_up:
        under_way = _lookups.get((host, port))
        if under_way is not None and not under_way.done():
            return under_way
        future = _lookups[host, port] = Future()
    return submit(lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM), future=future)
