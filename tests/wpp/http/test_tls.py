"""Who is believed over TLS, and that the environment changes neither that nor the way to an upstream."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest

from tests.support.tls_servers import get, response, sending, serving
from wpp.http.connections import BoundedAdapter
from wpp.http.messages import TransportFailed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.tls_servers import Authority
    from wpp.http.transport import Transport

OK = response(b"{}", b"Connection: close")


def test_a_server_with_a_valid_certificate_is_believed(transport: Transport, trusted: ssl.SSLContext) -> None:
    """The counterpart of the refusals below: trusted, the same authority's certificate will do."""
    with serving(sending(OK), trusted) as server:
        assert get(transport, server.url).status == 200


@pytest.mark.parametrize("kind", ["unknown authority", "self-signed", "another host", "expired"])
def test_a_server_that_cannot_prove_who_it_is_receives_nothing(
    transport: Transport, authority: Authority, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    host = "platform.example" if kind == "another host" else "127.0.0.1"
    context = authority.context(host, days=-1 if kind == "expired" else 2, self_signed=kind == "self-signed")
    if kind in ("another host", "expired"):
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    with serving(sending(OK), context) as server:
        with pytest.raises(TransportFailed, match="has a certificate that is not trusted"):
            get(transport, server.url)
        assert server.connections == 1
        assert server.requests == []


def test_a_server_without_tls_receives_no_request_that_should_be_encrypted(transport: Transport) -> None:
    with serving(sending(OK)) as server:
        for _ in range(2):
            with pytest.raises(TransportFailed):
                get(transport, server.url.replace("http://", "https://"))
        assert server.connections == 2
        assert b"credential" not in b"".join(server.requests)


def test_old_versions_of_tls_are_refused(transport: Transport, trusted: ssl.SSLContext) -> None:
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        trusted.minimum_version = trusted.maximum_version = ssl.TLSVersion.TLSv1_1
    trusted.set_ciphers("ALL:@SECLEVEL=0")
    with serving(sending(OK), trusted) as server, pytest.raises(TransportFailed):
        get(transport, server.url)


def test_without_a_store_of_the_system_the_authorities_of_certifi_are_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/dev/null")
    monkeypatch.setenv("SSL_CERT_DIR", "/dev/null")
    context = BoundedAdapter().tls_context()
    assert context.cert_store_stats()["x509_ca"] > 50
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_the_authorities_are_read_once(transport: Transport, trusted: ssl.SSLContext, authority: Authority) -> None:
    with serving(sending(OK), trusted) as first, serving(sending(OK), trusted) as second:
        assert get(transport, first.url).status == 200
        authority.path.rename(authority.path.with_suffix(".away"))
        try:
            assert get(transport, second.url).status == 200
        finally:
            authority.path.with_suffix(".away").rename(authority.path)


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_the_environment_does_not_change_who_is_trusted(
    transport: Transport, authority: Authority, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, str(authority.path))
    with serving(sending(OK), authority.context("127.0.0.1")) as server, pytest.raises(TransportFailed):
        get(transport, server.url)


@pytest.mark.parametrize("name", ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"])
@pytest.mark.parametrize("tls", [False, True])
def test_a_proxy_of_the_environment_is_ignored(
    transport: Transport, trusted: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch, name: str, *, tls: bool
) -> None:
    with serving(sending(OK)) as proxy, serving(sending(OK), trusted if tls else None) as server:
        monkeypatch.setenv(name, proxy.url)
        assert get(transport, server.url).status == 200
        assert proxy.connections == 0


def test_netrc_is_ignored(transport: Transport, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password something\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with serving(sending(OK)) as server:
        get(transport, server.url)
        assert b"authorization" not in server.requests[0].lower()


def test_cookies_are_not_kept(transport: Transport) -> None:
    with serving(sending(response(b"{}", b"Set-Cookie: session=1; Path=/"), OK)) as server:
        get(transport, server.url)
        get(transport, server.url)
        server.talk = sending(OK)
        get(transport, server.url)
        assert server.connections == 2
        assert b"cookie" not in b"".join(server.requests).lower()
