"""The version that `GET` answers: baked in by the build as `wpp/_build.py`, so that a deployment can be told from another."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module

VERSION = "source"
with suppress(ModuleNotFoundError):
    VERSION = import_module("wpp._build").VERSION
