"""supabase-js for the page, which uses the functions as the product's web client does.

Fetched once with npm and checked against a hash. Without npm or a network the page says so, and everything else works.
"""

from __future__ import annotations

import base64
import hashlib
import io
import shutil
import subprocess
import tarfile
import threading

from emulator.messages import Response
from emulator.processes import ROOT

_PACKAGE = "@supabase/supabase-js@2.109.0"
_SHA512 = "eNpUGegTT3hhoTK9j6aLViVjybYtdq6Ishb4BkVLi5tT58S1D80n7dmALMoBWkbrYG4uQv30c8iAB6nZylX0Fg=="
_FILE = "package/dist/umd/supabase.js"
_CACHED = ROOT / ".local/supabase-js-2.109.0.js"
_NPM_SECONDS = 60
_fetching = threading.Lock()


def response() -> Response:
    with _fetching:
        if not _CACHED.exists():
            problem = _problem_of_fetching()
            if problem:
                return Response(503, problem.encode(), {"Content-Type": "text/plain; charset=utf-8"})
    return Response(200, _CACHED.read_bytes(), {"Content-Type": "text/javascript", "Cache-Control": "max-age=3600"})


def _problem_of_fetching() -> str | None:
    """Puts the library into the cache; the problem, or None if there was none."""
    npm = shutil.which("npm")
    if npm is None:
        return "supabase-js is fetched with npm, which is not installed (Debian: apt-get install npm)"
    folder = _CACHED.parent
    folder.mkdir(exist_ok=True)
    command = [npm, "pack", _PACKAGE, "--silent", "--pack-destination", str(folder)]
    try:
        packed = subprocess.run(command, capture_output=True, text=True, timeout=_NPM_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"npm could not fetch {_PACKAGE} within {_NPM_SECONDS} seconds: is there a network?"
    if packed.returncode:
        return f"npm could not fetch {_PACKAGE}: {packed.stderr.strip()[-300:] or 'is there a network?'}"
    archive = folder / packed.stdout.split()[-1]
    data = archive.read_bytes()
    archive.unlink()
    if base64.b64encode(hashlib.sha512(data).digest()).decode() != _SHA512:
        return f"what npm fetched as {_PACKAGE} has another hash than expected"
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        library = tar.extractfile(_FILE)
        if library is None:
            return f"{_PACKAGE} has no {_FILE}"
        aside = _CACHED.with_suffix(".new")
        aside.write_bytes(library.read())
        aside.replace(_CACHED)  # whole, or not at all
    return None
