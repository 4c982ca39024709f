"""`/docs`: the functions' OpenAPI description as a page to try calls on, signed in as the demo user."""

from __future__ import annotations

import mimetypes
from importlib.util import find_spec
from pathlib import Path

from emulator.messages import Response, json_response
from emulator.processes import ROOT

_DESCRIPTION = ROOT / "functions/openapi.yaml"
_PAGE = Path(__file__).with_name("docs.html")


def documentation(path: str) -> Response:
    """What is at `/docs/<path>`: the page, the description, or a file of Swagger UI."""
    if path in ("", "openapi.yaml"):
        file = _DESCRIPTION if path else _PAGE
        kind = "application/yaml" if path else "text/html; charset=utf-8"
        return Response(200, file.read_bytes(), {"Content-Type": kind, "Cache-Control": "no-cache"})
    # Found without an import: the package would load a Flask blueprint that is not needed here.
    package = find_spec("flask_swagger_ui")
    folder = Path(package.origin).with_name("dist") if package and package.origin else None
    if folder is None or path not in {file.name for file in folder.iterdir()}:
        return json_response(404, {"message": "file not found"})
    kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
    return Response(200, (folder / path).read_bytes(), {"Content-Type": kind, "Cache-Control": "max-age=3600"})
