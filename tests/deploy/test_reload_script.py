"""reload.sh, which starts gunicorn or reloads it on a machine without Docker and systemd: the env file and the process id."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from emulator.processes import ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the server is one with Linux")


def started_with(folder: Path, env_file: str) -> tuple[subprocess.CompletedProcess[str], dict[str, str]]:
    """What reload.sh starts with this env file, and the environment that it gets."""
    (folder / "current").mkdir()
    shutil.copy(ROOT / "shared/deploy/selfhosted/reload.sh", folder / "current")
    (folder / "env").write_text(env_file)
    python = folder / "python"
    python.write_text(f"#!/bin/sh\nenv -0 > {folder}/got\n")
    python.chmod(0o755)
    command = ["sh", str(folder / "current/reload.sh")]
    environ = {"PATH": os.environ["PATH"], "PYTHON": str(python)}
    run = subprocess.run(command, env=environ, cwd=folder, capture_output=True, text=True, check=False)
    got = (folder / "got").read_text().split("\0") if (folder / "got").exists() else []
    return run, dict(line.split("=", 1) for line in got if line)


def test_a_process_id_of_another_program_is_left_alone(tmp_path: Path) -> None:
    """As after a restart of the machine: the file remains, and its number is another program's."""
    with subprocess.Popen(["sleep", "60"]) as other:
        (tmp_path / "gunicorn.pid").write_text(str(other.pid))
        run, environment = started_with(tmp_path, "A=b\n")
        other.kill()
    assert other.returncode == -signal.SIGKILL
    assert (run.returncode, environment["A"]) == (0, "b")  # a server is started


def test_the_env_file_is_data_of_which_nothing_is_run_or_expanded(tmp_path: Path) -> None:
    lines = ["# WPP_SECRET=a comment", "", "A=$(touch hacked) `touch hacked` $HOME; touch hacked", r"B=a==b \c",
             'C="quoted # value"', "D='it \"is\"'", 'E="', "LAST=without a line break"]  # fmt: skip
    run, environment = started_with(tmp_path, "\n".join(lines))
    assert (run.returncode, run.stderr) == (0, "")
    expected = {"A": lines[2][2:], "B": r"a==b \c", "C": "quoted # value", "D": 'it "is"', "E": '"'}
    assert expected | {"LAST": "without a line break"} == {
        n: v for n, v in environment.items() if len(n) == 1 or n == "LAST"
    }
    assert "WPP_SECRET" not in environment
    assert not list(tmp_path.rglob("hacked"))


@pytest.mark.parametrize("line", ["export A=b", "A", "=b", "1A=b", "A-B=c", "A$(touch hacked)=b"])
def test_a_line_of_the_env_file_that_sets_nothing_is_refused(tmp_path: Path, line: str) -> None:
    run, environment = started_with(tmp_path, f"B=secret\n{line}\n")
    assert run.returncode != 0
    assert "a line is not like NAME=value" in run.stderr
    assert "secret" not in run.stderr
    assert environment == {}
    assert not list(tmp_path.rglob("hacked"))
