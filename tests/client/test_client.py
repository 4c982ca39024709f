"""The browser client under Node.js: its tests are in client.test.mjs. tests/emulator/test_page.py has it in a browser."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from emulator.processes import ROOT

NPM = shutil.which("npm")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not NPM and not os.environ.get("CI"), reason="supabase-js is fetched with npm"),
]


def test_the_browser_client_under_node() -> None:
    assert (ROOT / ".venv/tsc/node_modules").is_dir(), "run `make .venv/.tsc` first"
    tests = Path(__file__).with_name("client.test.mjs")
    run = subprocess.run(["node", "--test", tests], capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "\n# pass 0\n" not in run.stdout


def test_the_browser_client_is_one_short_file_without_dependencies() -> None:
    source = (ROOT / "functions/wpp-client.js").read_text(encoding="utf-8")
    assert source.count("\n") < 220
    assert "\nimport " not in source
