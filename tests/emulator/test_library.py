"""supabase-js for the page: from the registry that npm is configured for, whole and unchanged, or with a reason."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
from typing import TYPE_CHECKING

import pytest

from emulator.messages import Request, Response
from emulator.page import library
from emulator.web import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Registry:
    """Sends the same tarball for every package, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.tarball = _tarball(b"the library")
        self.status = 200
        self.asked: list[str] = []

    def route(self, request: Request) -> tuple[str, Callable[[], Response]]:
        self.asked.append(request.path)
        return "package", lambda: Response(self.status, self.tarball)

    def control(self, name: str, body: object) -> None:
        return None


def _tarball(text: bytes) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        entry = tarfile.TarInfo("package/dist/umd/supabase.js")
        entry.size = len(text)
        tar.addfile(entry, io.BytesIO(text))
    return data.getvalue()


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Registry]:
    """The one that npm is configured for. The hash that is expected is that of its tarball."""
    found = Registry()
    monkeypatch.setattr(library, "_CACHED", tmp_path / ".local/supabase-js.js")
    monkeypatch.setattr(library, "_SHA512", base64.b64encode(hashlib.sha512(found.tarball).digest()).decode())
    with Server(found) as server:
        monkeypatch.setenv("npm_config_registry", f"{server.url}/npm/")
        yield found


def test_it_is_fetched_once(registry: Registry) -> None:
    assert [library.response().body for _ in range(2)] == [b"the library"] * 2
    assert registry.asked == ["/npm/@supabase/supabase-js/-/supabase-js-2.109.0.tgz"]


def test_another_tarball_is_refused_and_the_next_attempt_may_succeed(registry: Registry) -> None:
    right, registry.tarball = registry.tarball, _tarball(b"something else")
    refused = library.response()
    assert (refused.status, refused.body) == (503, b"what 127.0.0.1 sent has another hash than expected")
    registry.status = 404
    assert library.response().body == b"127.0.0.1 answered 404"
    registry.status, registry.tarball = 200, right
    assert library.response().status == 200


def test_a_registry_that_cannot_be_reached_is_named_without_its_password(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    for address in ("http://user:hunter2@127.0.0.1:1", "user:hunter2@nowhere"):
        monkeypatch.setenv("npm_config_registry", address)
        failed = library.response()
        assert (failed.status, b"cannot be reached" in failed.body, b"hunter2" in failed.body) == (503, True, False)


def test_the_registry_is_the_one_that_npm_would_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIRROR", "mirror.example")
    project, user, missing = tmp_path / "project", tmp_path / "user", tmp_path / "missing"
    project.write_text("; registry=https://comment.example\n@scope:registry=https://scope.example\naudit=false\n")
    user.write_text('audit=false\nregistry = "https://${MIRROR}/npm/"\n')
    files = (missing, project, user)
    assert library.registry({}, files) == "https://mirror.example/npm"
    assert library.registry({"NPM_CONFIG_REGISTRY": "https://env.example/"}, files) == "https://env.example"
    assert library.registry({}, (missing, project)) == "https://registry.npmjs.org"
