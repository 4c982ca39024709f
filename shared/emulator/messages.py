"""A request and a response of the emulated systems, and their form on the wire."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    """Decoded path without the query."""
    query: str
    """The raw query string, still percent-encoded."""
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    def json(self) -> Any:
        """The decoded body, None if it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def is_foreign(self) -> bool:
        """Whether a page of another site sent it: in the browser of somebody who runs the stack, any page could.

        A page whose name was made to point here sends no Origin, as to a server of its own; only Host tells.
        """
        host, origin = self.headers.get("host", ""), self.headers.get("origin")
        name = host.rsplit(":", 1)[0].lower()
        return name not in ("127.0.0.1", "localhost") or origin not in (None, f"http://{host}")


@dataclass(frozen=True)
class Response:
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def json_response(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Response:
    return Response(status, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})})


def read_request(stream: BinaryIO) -> Request | None:
    """The next request of a connection; None at its end."""
    line = stream.readline(65_536)
    if not line.strip():
        return None
    method, target, _ = line.decode("latin-1").split(" ", 2)
    headers: dict[str, str] = {}
    while (line := stream.readline(65_536)) not in (b"\r\n", b"\n", b""):
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    body = (
        _read_chunks(stream) if headers.get("transfer-encoding") else stream.read(int(headers.get("content-length", 0)))
    )
    path, _, query = target.partition("?")
    return Request(method, unquote(path), query, headers, body)


def _read_chunks(stream: BinaryIO) -> bytes:
    body = b""
    while size := int(stream.readline().split(b";")[0], 16):
        body += stream.read(size)
        stream.readline()
    stream.readline()
    return body


def encoded(response: Response, request: Request) -> bytes:
    # In one piece: a body sent after its headers would wait for their acknowledgement.
    reason = HTTPStatus(response.status).phrase if response.status in HTTPStatus._value2member_map_ else ""
    lines = [f"HTTP/1.1 {response.status} {reason}"]
    lines += [f"{name}: {value}" for name, value in response.headers.items() if name.lower() != "content-length"]
    bare = response.status == 204
    if not bare:
        lines.append(f"Content-Length: {len(response.body)}")
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
    return head if bare or request.method == "HEAD" else head + response.body
