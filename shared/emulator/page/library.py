"""supabase-js for the page, which uses the functions as the product's web client does.

Fetched once from the npm registry, without npm, and checked against a hash. If that fails, the page says why, and everything
else on it works.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import tarfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests

from emulator.messages import Response
from emulator.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_VERSION = "2.109.0"
_SHA512 = "eNpUGegTT3hhoTK9j6aLViVjybYtdq6Ishb4BkVLi5tT58S1D80n7dmALMoBWkbrYG4uQv30c8iAB6nZylX0Fg=="
_FILE = "package/dist/umd/supabase.js"
_CACHED = ROOT / f".local/supabase-js-{_VERSION}.js"
_PUBLIC = "https://registry.npmjs.org"
_NPMRC = re.compile(r"\s*registry\s*=\s*[\"']?([^\s\"']+)")
_SECONDS = 20.0  # without a byte
_fetching = threading.Lock()


class _CannotFetchError(Exception):
    """Its text says why."""


def response() -> Response:
    with _fetching:
        if not _CACHED.exists():
            try:
                _keep(_fetched(registry(os.environ, (ROOT / ".npmrc", Path.home() / ".npmrc"))))
            except _CannotFetchError as error:
                return Response(503, str(error).encode(), {"Content-Type": "text/plain; charset=utf-8"})
    return Response(200, _CACHED.read_bytes(), {"Content-Type": "text/javascript", "Cache-Control": "max-age=3600"})


def registry(env: Mapping[str, str], files: Iterable[Path]) -> str:
    """The address of the registry that npm would use: a machine may reach a mirror only. The first setting found wins."""
    variables = {name.lower(): value for name, value in env.items()}
    found = variables.get("npm_config_registry")
    for file in files:
        lines = file.read_text("utf-8", "replace").splitlines() if file.is_file() else []
        found = found or next((match[1] for line in lines if (match := _NPMRC.match(line))), None)
    return os.path.expandvars(found or _PUBLIC).rstrip("/")


def _fetched(address: str) -> bytes:
    """The tarball. Raises _CannotFetchError."""
    host = urlsplit(address).hostname  # not the whole address, which may hold a password
    url = f"{address}/@supabase/supabase-js/-/supabase-js-{_VERSION}.tgz"
    try:
        answer = requests.get(url, timeout=_SECONDS)
    except (requests.RequestException, ValueError) as error:
        raise _CannotFetchError(f"{host} cannot be reached ({type(error).__name__})") from error
    if answer.status_code != 200:
        raise _CannotFetchError(f"{host} answered {answer.status_code}")
    if base64.b64encode(hashlib.sha512(answer.content).digest()).decode() != _SHA512:
        raise _CannotFetchError(f"what {host} sent has another hash than expected")
    return answer.content


def _keep(tarball: bytes) -> None:
    with tarfile.open(fileobj=io.BytesIO(tarball)) as tar:
        library = tar.extractfile(_FILE)
        assert library is not None  # by its hash
        _CACHED.parent.mkdir(exist_ok=True)
        aside = _CACHED.with_suffix(".new")
        aside.write_bytes(library.read())
        aside.replace(_CACHED)  # whole, or not at all
