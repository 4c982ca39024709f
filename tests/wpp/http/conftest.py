"""A transport of its own for each test, and an authority that it trusts where the test says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.tls_servers import Authority
from wpp.http.transport import Transport

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator


@pytest.fixture
def transport() -> Iterator[Transport]:
    transport = Transport()
    yield transport
    transport.close()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """What a server uses whose certificate this process accepts."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    return authority.context("127.0.0.1")
