"""The workflows of GitHub Actions: `make check` reads them with actionlint, and here is what actionlint does not know."""

from __future__ import annotations

import re
import subprocess
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from emulator.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

FILES = sorted((ROOT / ".github/workflows").glob("*.yml"))
CI, RELEASE = (yaml.safe_load(path.read_text()) for path in FILES)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def steps(workflow: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for job in workflow["jobs"].values():
        yield from job.get("steps", [])


def test_every_action_is_pinned_to_a_commit_with_its_version_beside_it() -> None:
    used = [line.strip(" -") for path in FILES for line in path.read_text().splitlines() if "uses:" in line]
    assert used
    for line in used:
        assert re.fullmatch(r"uses: (\./\S+|[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+)", line)


def test_only_the_release_may_write_and_no_step_but_the_last_gets_its_token() -> None:
    assert [workflow["permissions"] for workflow in (CI, RELEASE)] == [{"contents": "read"}] * 2
    jobs = {**CI["jobs"], **RELEASE["jobs"]}
    assert {name: job["permissions"] for name, job in jobs.items() if "permissions" in job} == {
        "release": {"contents": "write"}
    }
    *before, last = steps(RELEASE)
    assert "GH_TOKEN" in last["env"]
    assert "token" not in str([*before, *steps(CI)]).lower()
    checkouts = [step for step in [*before, *steps(CI)] if "actions/checkout" in step.get("uses", "")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_ci_runs_the_targets_that_a_developer_has_and_starts_with_the_oldest_python() -> None:
    made = {target for step in steps(CI) for target in re.findall(r"make (\S+)", step.get("run", ""))}
    assert {"check", "test", "test-slow", "audit", "build"} < made
    targets = re.findall(r"^([\w./-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert made <= {*targets}
    matrix = CI["jobs"]["test"]["strategy"]["matrix"]
    assert f">={matrix['python'][0]}" == PROJECT["requires-python"]


@pytest.mark.parametrize(("tag", "status"), [(f"v{PROJECT['version']}", 0), (PROJECT["version"], 1), ("v99.0", 1)])
def test_a_release_is_refused_if_its_tag_is_not_the_version(tag: str, status: int) -> None:
    (script,) = [step["run"] for step in steps(RELEASE) if "pyproject.toml" in step.get("run", "")]
    env = {"PATH": f"{ROOT}/.venv/bin:/usr/bin:/bin", "GITHUB_REF_NAME": tag}
    # As GitHub runs it.
    run = subprocess.run(["bash", "-e", "-c", script], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (status, "")
    assert ("::error::" in run.stdout) == bool(status)
