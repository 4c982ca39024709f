"""Servers that send any bytes as a response, over TLS with any certificate."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import ssl
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from wpp.http.messages import Response
    from wpp.http.transport import Transport

    Talk = Callable[[socket.socket], None]


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def get(transport: Transport, url: str, timeout: float = 2.0) -> Response:
    return transport.send("GET", f"{url}/", {"apikey": "credential"}, None, timeout)


def response(body: bytes, *headers: bytes) -> bytes:
    return HEAD + b"Content-Length: %d\r\n" % len(body) + b"".join(h + b"\r\n" for h in headers) + b"\r\n" + body


class Server:
    """Accepts, reads the head of a request unless it is left to `talk`, and lets `talk` send whatever it likes."""

    def __init__(
        self, talk: Talk, context: ssl.SSLContext | None = None, port: int = 0, *, reads_head: bool = True
    ) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.talk = talk
        self._reads_head = reads_head
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"{'https' if self._context else 'http'}://127.0.0.1:{self.port}"

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            connection.settimeout(30)
            stream = self._context.wrap_socket(connection, server_side=True) if self._context else connection
            with stream:
                if self._reads_head:
                    self.requests.append(stream.recv(65536))
                self.talk(stream)


@contextmanager
def serving(
    talk: Talk, context: ssl.SSLContext | None = None, port: int = 0, *, reads_head: bool = True
) -> Iterator[Server]:
    server = Server(talk, context, port, reads_head=reads_head)
    try:
        yield server
    finally:
        server.close()


def relaying(port: int) -> Talk:
    """What another server on this machine answers."""

    def talk(connection: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", port)) as behind:
            threading.Thread(target=_pump, args=[behind, connection], daemon=True).start()
            _pump(connection, behind)

    return talk


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_RDWR)


def sending(*responses: bytes) -> Talk:
    """One response for each request on a connection, which then ends."""

    def talk(connection: socket.socket) -> None:
        for number, each in enumerate(responses):
            if number and not connection.recv(65536):
                return
            connection.sendall(each)

    return talk


class Authority:
    """A certificate authority of our own, which nobody trusts unless told to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = self._issue("our own authority", self._key, None, days=2)
        self.path = folder / "ca.pem"
        self.path.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def context(self, host: str, *, days: int = 2, self_signed: bool = False) -> ssl.SSLContext:
        """What a server with a certificate for `host` uses; `days` below zero is a certificate that ran out."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._issue(host, key, None if self_signed else self._certificate, days=days)
        path = self._folder / f"{host}{days}{self_signed}.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _issue(
        self, name: str, key: ec.EllipticCurvePrivateKey, issuer: x509.Certificate | None, *, days: int
    ) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.subject if issuer else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=9))
            .not_valid_after(now + dt.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if " " not in name:
            is_address = name[0].isdigit()
            shown = x509.IPAddress(ipaddress.ip_address(name)) if is_address else x509.DNSName(name)
            builder = builder.add_extension(x509.SubjectAlternativeName([shown]), critical=False)
        return builder.sign(self._key if issuer else key, hashes.SHA256())
