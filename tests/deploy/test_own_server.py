"""Deploying to a server of one's own: this machine, a plain gunicorn, and clients that call all the time."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from emulator.processes import ROOT, free_port
from tests.support.environments import empty_environment
from tests.support.servers import Calling, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.stack import Stack
    from tests.support.callers import Caller

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the server is one with Linux"),
    pytest.mark.skipif(
        shutil.which("rsync") is None and not os.environ.get("CI"),
        reason="rsync is not installed: apt-get install rsync",
    ),
]
ANOTHER_FUNCTION = "def wpp_create(request):\n    return {'hello': 'world'}\n"


class Server:
    """A project to deploy from, and the folder and port that it is deployed to."""

    def __init__(self, folder: Path, stack: Stack) -> None:
        self.project = folder / "project"
        for name in ("shared", "functions"):
            shutil.copytree(ROOT / name, self.project / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "requirements-server.lock", self.project)
        self.dest = folder / "dest"
        self.port, self.metrics_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.dest.mkdir()
        (self.dest / "env").write_text("".join(f"{name}={value}\n" for name, value in stack.environment().items()))
        (self.dest / "env").chmod(0o600)
        self.python = empty_environment(folder / "empty")

    def change(self, path: str, text: str) -> None:
        file = self.project / path
        file.write_text(file.read_text() + text)

    def add_function(self, name: str) -> None:
        """A copy of wpp_create."""
        folder = self.project / "functions" / name
        shutil.copytree(self.project / "functions/wpp_create", folder)
        source = (folder / "main.py").read_text().replace("wpp_create", name)
        (folder / "main.py").write_text(source.replace("wpp-create", name.replace("_", "-")))

    def deploy(self, **settings: str) -> subprocess.CompletedProcess[str]:
        process = self.start(**settings)
        out, err = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def start(self, **settings: str) -> subprocess.Popen[str]:
        """As `make deploy-selfhosted` does it, from the copy of the project."""
        env = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            **{name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_"))},
            "PYTHONPATH": str(self.project / "shared"),
            "DEST": str(self.dest),
            "SERVICE": "process",
            "SERVER_PYTHON": str(self.python),
            "PYTHON": str(self.python),
            "BIND": f"127.0.0.1:{self.port}",
            "HEALTH_URL": f"{self.url}/healthz",
            "WAIT": "60",
            "METRICS_PORT": str(self.metrics_port),
            **settings,
        }
        command = [sys.executable, "-m", "deploy.own_server", "deploy"]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=self.project, env=env, stdout=pipe, stderr=pipe, text=True)

    def version(self) -> str:
        return str(requests.get(f"{self.url}/wpp-create", timeout=5).json()["version"])

    def stop(self) -> None:
        pid = self.dest / "gunicorn.pid"
        if pid.exists():
            os.kill(int(pid.read_text()), signal.SIGTERM)


@pytest.fixture(scope="module")
def server(_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A first release is deployed and serves."""
    deployed = Server(tmp_path_factory.mktemp("own"), _stack)
    first = deployed.deploy()
    assert first.returncode == 0, first.stdout + first.stderr
    yield deployed
    deployed.stop()


def test_the_sent_tree_serves_the_functions_in_an_empty_environment(server: Server, caller: Caller) -> None:
    created = caller.call_at(f"{server.url}/functions/v1/wpp-create")
    provisioned = caller.call_at(f"{server.url}/functions/v1/wpp-provision")
    assert (created.status_code, provisioned.status_code) == (200, 200)
    assert created.json()["session"] == caller.row()["settings"]["wppAccountNumber"]


def test_nobody_who_calls_during_a_deployment_sees_it_and_a_further_function_brings_its_routes(server: Server) -> None:
    before = server.version()
    server.add_function("wpp_toy")
    with Calling(f"{server.url}/functions/v1/wpp-create") as calling:
        wait_for(lambda: calling.versions)
        deployed = server.deploy()
        wait_for(lambda: calling.versions[-1] != before)

    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    after = server.version()
    assert after != before
    assert after in deployed.stdout
    assert calling.failures == []
    assert set(calling.versions) == {before, after}
    assert requests.get(f"{server.url}/functions/v1/wpp-toy", timeout=5).json()["function"] == "wpp-toy"
    assert f"the gateway's routes have changed; put those in {server.dest}/current/gateway" in deployed.stdout
    for name in ("kong.wpp.yml", "envoy.lds.wpp.yaml"):
        assert "/functions/v1/wpp-toy\n" in (server.dest / "current/gateway" / name).read_text()


def test_the_reconciler_runs_from_the_sent_tree_as_its_unit_says(server: Server) -> None:
    unit = (ROOT / "shared/deploy/selfhosted/wpp-reconcile.service").read_text()
    unit = unit.replace("/srv/wpp-functions", str(server.dest)).replace("/usr/bin/python3", str(server.python))
    says = dict(re.findall(r"^(WorkingDirectory|EnvironmentFile|Environment|ExecStart)=(.*)$", unit, re.MULTILINE))
    lines = [says["Environment"], *Path(says["EnvironmentFile"]).read_text().splitlines()]
    # The stack has the rows of other tests, too: none of them comes after this one.
    command = [*says["ExecStart"].split(), "--after", "ffffffff-ffff-ffff-ffff-ffffffffffff"]
    env = dict(line.split("=", 1) for line in lines)
    ran = subprocess.run(command, cwd=says["WorkingDirectory"], env=env, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert json.loads(ran.stdout)["summary"]["numbers"] == 0


def test_a_broken_release_never_serves(server: Server) -> None:
    before, served = server.version(), (server.dest / "current").resolve()
    file = server.project / "functions/wpp_create/main.py"
    whole = file.read_text()
    server.change("functions/wpp_create/main.py", "\nraise RuntimeError('broken')\n")
    with Calling(f"{server.url}/functions/v1/wpp-create") as calling:
        wait_for(lambda: calling.versions)
        deployed = server.deploy()
    file.write_text(whole)

    assert deployed.returncode != 0
    assert "cannot be loaded: ['wpp_create']" in deployed.stderr
    assert "NOT DEPLOYED" in deployed.stderr
    assert calling.failures == []
    assert set(calling.versions) == {before}
    assert (server.dest / "current").resolve() == served


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("functions/wpp_create/main.py", f"\n\n{ANOTHER_FUNCTION}", "wpp-create answers 200 with version None"),
        ("shared/wpp/faas/server.py", "\ndef broken(:\n", "the server does not start"),
    ],
)
def test_the_trial_of_a_release_tells_what_is_broken(
    server: Server, tmp_path: Path, path: str, text: str, message: str
) -> None:
    release, packages = tmp_path / "releases/broken", (server.dest / "current/packages").resolve()
    shutil.copytree(packages.parent, release, ignore=shutil.ignore_patterns("packages"))
    (release / "packages").symlink_to(packages)
    (release / path).write_text((release / path).read_text() + text)
    tried = subprocess.run([server.python, release / "trial.py"], capture_output=True, text=True, check=False)
    assert tried.returncode != 0
    assert message in tried.stderr


def test_a_release_that_does_not_answer_once_it_serves_is_taken_back(server: Server) -> None:
    """The trial is passed, and yet the service does not come up with it: here because it is never restarted."""
    before, served = server.version(), (server.dest / "current").resolve()
    server.change("functions/wpp_create/main.py", "\n# changed again\n")
    with Calling(f"{server.url}/functions/v1/wpp-create") as calling:
        wait_for(lambda: calling.versions)
        deployed = server.deploy(RESTART="true", WAIT="2")

    assert deployed.returncode != 0
    assert "answers as before" in deployed.stderr
    assert calling.failures == []
    assert set(calling.versions) == {before}
    assert (server.dest / "current").resolve() == served


def test_a_restart_that_fails_is_followed_by_one_of_the_old_release(server: Server) -> None:
    before = server.version()
    server.change("functions/wpp_create/main.py", "\n# and again\n")
    once = (
        f"test -e {server.dest}/failed || {{ touch {server.dest}/failed; exit 1; }}; sh {server.dest}/current/reload.sh"
    )
    with Calling(f"{server.url}/functions/v1/wpp-create") as calling:
        wait_for(lambda: calling.versions)
        deployed = server.deploy(RESTART=once)
    (server.dest / "failed").unlink()

    assert "the restart command failed" in deployed.stdout
    assert "answers as before" in deployed.stderr
    assert calling.failures == []
    assert set(calling.versions) == {before}


def test_a_deployment_that_was_overtaken_changes_nothing(server: Server) -> None:
    served = (server.dest / "current").resolve()
    script = (ROOT / "shared/deploy/selfhosted/server.sh").read_text()
    command = ["sh", "-s", "--", "activate", str(server.dest), "19990101T000000-gone", f"{server.url}/healthz", "2"]
    overtaken = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
    assert overtaken.returncode != 0
    assert "has overtaken this one" in overtaken.stderr
    assert (server.dest / "current").resolve() == served


def test_an_env_file_that_everybody_can_read_is_refused(server: Server) -> None:
    (server.dest / "env").chmod(0o644)
    refused = server.deploy()
    (server.dest / "env").chmod(0o600)
    assert refused.returncode != 0
    assert "chmod 600" in refused.stderr


def test_an_interrupted_deployment_puts_the_old_release_back(server: Server) -> None:
    before, served = server.version(), (server.dest / "current").resolve()
    server.change("functions/wpp_create/main.py", "\n# interrupted\n")
    process = server.start(RESTART="sleep 0.2", WAIT="6")
    wait_for(lambda: (server.dest / "current").resolve() != served, seconds=60)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "interrupted: waiting until the server is in order again" in errors
    assert "NOT DEPLOYED: interrupted" in errors
    assert "answers as before" in errors
    assert (server.dest / "current").resolve() == served
    assert server.version() == before


def test_what_is_not_ours_is_left_alone_and_of_ours_the_release_before_is_kept(server: Server, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/index.ts").write_text("theirs")
    (server.dest / "theirs.txt").write_text("theirs")

    refused = server.deploy(DEST=str(tmp_path / "theirs"))
    server.change("functions/wpp_create/main.py", "\n# last\n")
    accepted = server.deploy()

    assert refused.returncode != 0
    assert "has files of others in it" in refused.stderr
    assert [path.name for path in (tmp_path / "theirs").iterdir()] == ["index.ts"]
    assert accepted.returncode == 0
    assert "routes" not in accepted.stdout
    assert (server.dest / "theirs.txt").read_text() == "theirs"
    kept = {path.name for path in (server.dest / "releases").iterdir()}
    assert kept == {(server.dest / name).resolve().name for name in ("current", "previous")}
    assert len(kept) == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"DEST": ""}, "DEST must be the folder"),
        ({"WAIT": "abc"}, "WAIT must be a number of seconds"),
        ({"DEST": "/"}, "not a folder for functions"),
        ({"DEST": "relative/folder"}, "must be a whole path"),
        ({"DEST": "/srv/../etc"}, "not a folder for functions"),
        ({"DEST": "/srv/a b; rm -rf x"}, "DEST must be the folder"),
        ({"HOST": "-oProxyCommand=x"}, "HOST must be like"),
        ({"SERVICE": "windows"}, "SERVICE must be one of"),
        ({"SERVICE": "docker"}, "SUPABASE_DIR must be"),
        ({"SERVER_PYTHON": "no-such-python"}, "Python cannot be run there"),
    ],
)
def test_a_wrong_target_is_refused_before_anything_is_sent(
    server: Server, settings: dict[str, str], message: str
) -> None:
    refused = server.deploy(**settings)
    assert refused.returncode != 0
    assert message in refused.stderr
