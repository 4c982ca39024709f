"""How the time of a request is handed on: to connecting, to the handshake, to the response."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.tls_servers import get, serving
from wpp.http import connections
from wpp.http.connections import BoundedAdapter
from wpp.http.messages import TransportFailed

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from wpp.http.transport import Transport


def test_connecting_has_what_is_left_of_the_time(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    def connected_socket(_: Any, host: tuple[str, int], __: Any, seconds_left: Callable[[], float]) -> None:
        tried.append((host, 0 < seconds_left() <= 2.0))
        raise TimeoutError

    tried: list[tuple[tuple[str, int], bool]] = []
    monkeypatch.setattr(connections, "connected_socket", connected_socket)
    with pytest.raises(TransportFailed, match=r"^did not accept a connection in time$") as caught:
        get(transport, "http://127.0.0.1:9")
    assert caught.value.timed_out
    assert tried == [(("127.0.0.1", 9), True)]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_server_that_accepts_and_then_is_silent_is_left_when_the_time_is_over(
    transport: Transport, scheme: str
) -> None:
    done = threading.Event()

    def be_silent(_: socket.socket) -> None:
        done.wait(10)

    with serving(be_silent, reads_head=False) as server, pytest.raises(TransportFailed) as caught:
        get(transport, f"{scheme}://127.0.0.1:{server.port}", 0.2)
    done.set()
    assert str(caught.value) == "did not answer in time"
    assert caught.value.timed_out


@pytest.mark.parametrize(("given", "used"), [(5.0, 5.0), (0.5, 0.5), (0.0, 0.001), (-3.0, 0.001)])
def test_a_request_without_any_time_has_a_millisecond(
    transport: Transport, monkeypatch: pytest.MonkeyPatch, given: float, used: float
) -> None:
    def send(*_: Any, timeout: Any, **__: Any) -> None:
        totals.append(timeout.total)
        raise TimeoutError

    totals: list[float] = []
    monkeypatch.setattr(BoundedAdapter, "send", send)
    with pytest.raises(TransportFailed):
        get(transport, "http://127.0.0.1:9", given)
    assert totals == [used]
