"""The README's examples, run as written under Node.js against the local stack; readme.test.mjs plays the page and the phone."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import uuid
from typing import TYPE_CHECKING

import pytest

from emulator.processes import ROOT, free_port, server_process
from emulator.supabase.app import DEMO_PASSWORD

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.stack import Stack

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("npm") and not os.environ.get("CI"), reason="supabase-js is fetched with npm"),
]


def person(stack: Stack) -> dict[str, str]:
    email, organization_id = f"{uuid.uuid4()}@example.com", str(uuid.uuid4())
    stack.supabase.add_user(email, organization_id=organization_id)
    return {"email": email, "password": DEMO_PASSWORD, "organization_id": organization_id}


def test_the_examples_of_the_readme(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.platform.settings.qr_delay = 0
    libraries = ROOT / ".venv/tsc/node_modules"
    assert libraries.is_dir(), "run `make .venv/.tsc` first"
    (tmp_path / "node_modules").symlink_to(libraries)
    for name in ("functions/wpp-client.js", "tests/client/readme.test.mjs"):
        shutil.copy(ROOT / name, tmp_path)
    plain, client, elsewhere = re.findall(
        r"```js\n(.+?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )
    for name, example in {"plain": plain, "client": client}.items():
        (tmp_path / f"{name}.mjs").write_text(example + "export { supabase };\n", encoding="utf-8")
    needed = 'import { createWppClient } from "./wpp-client.js";\nimport { supabase } from "./client.mjs";\n'
    at_stack = re.sub(r'"https://….+?"', "process.env.FUNCTIONS_URL", elsewhere)
    (tmp_path / "elsewhere.mjs").write_text(f"{needed}{at_stack}export {{ wpp }};\n", encoding="utf-8")
    (tmp_path / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    env = {**os.environ, **stack.environment(), "PEOPLE": json.dumps([person(stack) for _ in range(5)])}
    with server_process(stack.environment() | {"WPP_DEADLINE_SECONDS": "5"}, free_port()) as server:
        server.wait_until_ready()
        env["FUNCTIONS_URL"] = server.url
        monkeypatch.setattr(stack.supabase, "functions_url", server.url)
        command = ["node", "--test-reporter=tap", str(tmp_path / "readme.test.mjs")]
        run = subprocess.run(command, capture_output=True, text=True, env=env, timeout=60, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "\n# pass 5\n" in run.stdout
