"""The local systems' server."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

import pytest
import requests

from emulator.faults import Fault

if TYPE_CHECKING:
    from emulator.stack import Stack


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a port cannot be kept without listening on it")
def test_a_server_that_refuses_connections_keeps_its_port(stack: Stack) -> None:
    server = stack.supabase_server
    url = f"{server.url}/auth/v1/health"
    server.inject(Fault("*", "refuse"))
    for _ in range(2):
        with pytest.raises(requests.ConnectionError):
            requests.get(url, timeout=5)
    with socket.socket() as somebody, pytest.raises(OSError, match="in use"):
        somebody.bind(("127.0.0.1", server.port))
    server.clear_faults()
    assert requests.get(url, timeout=5).ok
