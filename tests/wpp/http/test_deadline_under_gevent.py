"""The same deadline under gevent, as on a server of one's own: its TLS waits by itself for each piece that is missing."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from emulator.processes import ROOT
from tests.support.tls_servers import response, sending, serving

if TYPE_CHECKING:
    import ssl

    from tests.support.tls_servers import Talk

TIMEOUT, MARGIN = 1.5, 1.0
MANY = 200
"""Bytes: so many take twice as long as anything may."""
CLIENT = """
from gevent import monkey
monkey.patch_all()
import json, sys, time
from wpp.http.messages import TransportFailed
from wpp.http.transport import Transport
transport, found = Transport(), []
transport.send("GET", sys.argv[2], {}, None, 20.0)
for url in sys.argv[3:]:
    began = time.monotonic()
    try:
        found.append([transport.send("GET", url, {}, None, float(sys.argv[1])).status, 0])
    except TransportFailed as error:
        found.append([error.timed_out, time.monotonic() - began])
print(json.dumps(found))
"""


def drip(connection: socket.socket, data: bytes) -> None:
    for byte in data[:MANY]:
        time.sleep(0.02)
        connection.sendall(bytes([byte]))


def handshake_in_pieces(connection: socket.socket) -> None:
    connection.sendall(b"\x16\x03\x03\x40\x00")
    drip(connection, bytes(MANY))


def response_in_pieces(port: int) -> Talk:
    """What a TLS server on this machine sends: at once until the handshake is done, then a byte at a time."""

    def talk(connection: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", port)) as server:
            server.sendall(connection.recv(65536))
            connection.sendall(server.recv(65536))
            server.sendall(connection.recv(65536))  # the end of the handshake, and the request
            server.sendall(connection.recv(65536))
            drip(connection, server.recv(65536))

    return talk


def test_a_handshake_and_a_record_that_trickle_in_end_with_the_timeout(trusted: ssl.SSLContext) -> None:
    with (
        serving(sending(response(b" " * 1000)), trusted) as sound,
        serving(handshake_in_pieces) as first,
        serving(response_in_pieces(sound.port), reads_head=False) as second,
    ):
        urls = [server.url.replace("http://", "https://") for server in (sound, first, second)]
        command = [sys.executable, "-c", CLIENT, str(TIMEOUT), *urls]
        env = os.environ | {"PYTHONPATH": str(ROOT / "shared")}
        done = subprocess.run(command, env=env, check=True, capture_output=True)
    found = json.loads(done.stdout)
    assert [timed_out for timed_out, _ in found] == [True, True]
    assert max(took for _, took in found) < TIMEOUT + MARGIN
