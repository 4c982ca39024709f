"""What a request that brought no response is called, by what `requests`, urllib3 and the system raise in the end."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
import requests
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import (
    ConnectTimeoutError,
    LocationParseError,
    MaxRetryError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)

from wpp.http.connections import BoundedAdapter, StaleConnection
from wpp.http.messages import TransportFailed
from wpp.http.sockets import ResponseTooLarge
from wpp.http.transport import Transport

CONNECTION = HTTPConnection("127.0.0.1")
POOL = HTTPConnectionPool("127.0.0.1")


@pytest.mark.parametrize(
    ("cause", "problem", "kinds"),
    [
        (NewConnectionError(CONNECTION, "a secret"), "cannot be reached", []),
        (ConnectTimeoutError(CONNECTION, "a secret"), "did not accept a connection in time", ["timed_out"]),
        (ReadTimeoutError(POOL, "/", "a secret"), "did not answer in time", ["timed_out"]),
        (TimeoutError("a secret"), "did not answer in time", ["timed_out"]),
        (ResponseTooLarge(), "sent a response that is too large", ["too_large"]),
        (ssl.SSLCertVerificationError("a secret"), "has a certificate that is not trusted", []),
        (ssl.SSLError("a secret"), "broke the connection or the rules of HTTP", []),
        (StaleConnection(), "broke the connection or the rules of HTTP", ["stale"]),
        (ProtocolError("a secret"), "broke the connection or the rules of HTTP", []),
        (ConnectionResetError("a secret"), "broke the connection or the rules of HTTP", []),
        (LocationParseError("a secret"), "broke the connection or the rules of HTTP", []),
        (ValueError("a secret"), "broke the connection or the rules of HTTP", []),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
@pytest.mark.parametrize("wrapping", ["as it is", "as its cause", "as its context"])
def test_a_failure_is_called_by_its_cause_and_without_the_words_of_a_library(
    monkeypatch: pytest.MonkeyPatch, wrapping: str, cause: Exception, problem: str, kinds: list[str]
) -> None:
    def send(*_: Any, **__: Any) -> None:
        if wrapping == "as it is":
            raise cause
        error = requests.ConnectionError(MaxRetryError(POOL, "/", SSLError("a secret")))
        middle = MaxRetryError(POOL, "/", None)
        if wrapping == "as its cause":
            middle.__cause__ = cause
            raise error from middle
        middle.__context__ = cause
        error.__context__ = middle
        raise error

    monkeypatch.setattr(BoundedAdapter, "send", send)
    with pytest.raises(TransportFailed) as caught:
        Transport().send("GET", "http://127.0.0.1:1/", {}, None, 1.0)
    assert str(caught.value) == problem
    for kind in ("timed_out", "too_large", "stale"):
        assert getattr(caught.value, kind) is (kind in kinds)
