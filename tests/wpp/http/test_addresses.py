"""A host with several addresses is one system, with one timeout."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack

import pytest

from wpp.http.messages import TransportFailed
from wpp.http.transport import Transport


def test_all_addresses_of_a_host_share_one_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three addresses that do not answer: nobody accepts, and no further connection fits into the queue."""
    with ExitStack() as stack:
        port, addresses = 0, ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
        for address in addresses:
            listener = stack.enter_context(socket.socket())
            listener.bind((address, port))
            listener.listen(0)
            port = listener.getsockname()[1]
            for _ in range(3):
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex((address, port))
        real = socket.getaddrinfo

        def several(host: str, *rest: object, **options: object) -> object:
            if host != "several.example":
                return real(host, *rest, **options)  # type: ignore[arg-type]
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

        monkeypatch.setattr(socket, "getaddrinfo", several)
        transport = Transport()
        began = time.monotonic()
        with pytest.raises(TransportFailed) as caught:
            transport.send("GET", f"http://several.example:{port}/", {}, None, 0.6)
        transport.close()
        assert caught.value.timed_out
        assert time.monotonic() - began < 1.5  # one timeout, and not one for each
