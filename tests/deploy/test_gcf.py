"""Cloud Functions: the folders that are uploaded run on their own, and gcloud is called as it should be."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import requests

from deploy import bundle, gcf
from emulator.processes import ROOT, FunctionProcess, free_port
from tests.support.callers import ADDRESSES, FUNCTIONS
from tests.support.environments import empty_environment

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.stack import Stack
    from tests.support.callers import Caller

pytestmark = pytest.mark.slow
GIVEN = {"PROJECT": "a-project", "REGION": "europe-west1", "SUPABASE_URL": "https://api.example.org"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {folder.name: folder for folder in gcf.build(tmp_path_factory.mktemp("gcf"))}


def test_each_folder_holds_a_function_the_shared_package_and_its_requirements(folders: dict[str, Path]) -> None:
    assert list(folders) == FUNCTIONS
    for folder in folders.values():
        assert sorted(path.name for path in folder.iterdir()) == ["main.py", "requirements.txt", "wpp"]
        assert not list(folder.rglob("__pycache__"))


def test_the_requirements_are_pinned_with_hashes_and_only_what_is_used(folders: dict[str, Path]) -> None:
    text = (folders["wpp_create"] / "requirements.txt").read_text()
    names = re.findall(r"^([a-z0-9-]+)==\d[^\n]* \\\n    --hash=sha256:", text, re.MULTILINE)

    assert len(names) == text.count("==")
    assert {"functions-framework", "requests", "python-jose", "cryptography"} <= set(names)
    assert not {"boto3", "botocore", "segno", "setuptools", "pytest"} & set(names)


def test_what_is_uploaded_serves_end_to_end_with_nothing_else_installed(
    folders: dict[str, Path], stack: Stack, caller: Caller, tmp_path: Path
) -> None:
    python = empty_environment(tmp_path / "venv", folders["wpp_create"] / "requirements.txt")
    servers = {name: _functions_framework(python, name, folder, stack) for name, folder in folders.items()}
    try:
        for server in servers.values():
            server.wait_until_ready()
        health = {name: requests.get(server.url, timeout=10).json() for name, server in servers.items()}
        created = caller.call_at(servers["wpp_create"].url)
        provisioned = caller.call_at(servers["wpp_provision"].url)
    finally:
        for server in servers.values():
            server.stop()

    for name, body in health.items():
        assert (body["function"], body["version"]) == (bundle.address(name), bundle.version())
    assert (created.status_code, provisioned.status_code) == (200, 200)
    assert provisioned.json()["session"] == created.json()["session"] == caller.row()["settings"]["wppAccountNumber"]
    assert provisioned.json()["qrcode"].startswith("2@")


def _functions_framework(python: Path, name: str, folder: Path, stack: Stack) -> FunctionProcess:
    """From the folder itself, as Google's buildpack starts it."""
    port = free_port()
    arguments = ["-m", "functions_framework", "--target", name, "--host", "127.0.0.1", "--port", str(port)]
    return FunctionProcess(arguments, stack.environment(), port, python=python, cwd=folder)


def test_gcloud_is_called_with_the_entry_point_the_settings_and_the_secrets() -> None:
    env = {
        **GIVEN,
        "SUPABASE_ANON_KEY": "anon-key",
        "WPP_BASE_URL": "https://wpp.example.org",
        "WPP_ALLOWED_ROLES": "owner, admin",
        "CORS_ALLOW_ORIGIN": "https://a.example",
        "SECRETS": "WPP_SECRET=one:3 SUPABASE_JWT_SECRET=two:1",
    }

    command = gcf.deploy_command(gcf.FOLDER / "wpp_create", env)

    assert command[:5] == ["gcloud", "functions", "deploy", "wpp-create", "--gen2"]
    assert _value(command, "--entry-point") == "wpp_create"
    assert _value(command, "--source") == str(gcf.FOLDER / "wpp_create")
    assert _value(command, "--set-secrets").split(",") == [
        "SUPABASE_SERVICE_ROLE_KEY=supabase-service-role-key:latest",  # what is not named keeps its default
        "WPP_SECRET=one:3",
        "SUPABASE_JWT_SECRET=two:1",
    ]
    variables = _value(command, "--set-env-vars").removeprefix("^|^").split("|")
    assert variables == [
        "SUPABASE_URL=https://api.example.org",
        "SUPABASE_ANON_KEY=anon-key",
        "WPP_BASE_URL=https://wpp.example.org",
        "WPP_ALLOWED_ROLES=owner, admin",
        "CORS_ALLOW_ORIGIN=https://a.example",
        "THREADS=80",
    ]


def _value(command: list[str], option: str) -> str:
    return command[command.index(option) + 1]


def test_a_variable_that_is_a_secret_is_not_a_plain_one_too() -> None:
    env = {**GIVEN, "SUPABASE_ANON_KEY": "anon-key", "SECRETS": "SUPABASE_ANON_KEY=anon:latest"}
    command = gcf.deploy_command(gcf.FOLDER / "wpp_create", env)
    assert "SUPABASE_ANON_KEY=anon:latest" in _value(command, "--set-secrets")
    assert "anon-key" not in " ".join(command)


def test_the_value_of_a_secret_never_gets_into_the_call() -> None:
    env = {
        **GIVEN,
        "WPP_SECRET": "top-secret",
        "SUPABASE_SERVICE_ROLE_KEY": "top-secret",
        "SUPABASE_JWT_SECRET": "top-secret",
    }

    assert "top-secret" not in " ".join(gcf.deploy_command(gcf.FOLDER / "wpp_create", env))


def test_everything_that_is_missing_is_named_at_once() -> None:
    with pytest.raises(SystemExit) as refused:
        gcf.deploy_command(gcf.FOLDER / "wpp_create", {})
    for name in ("PROJECT", "REGION", "SUPABASE_URL"):
        assert f"{name} is missing" in str(refused.value)


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"PROJECT": "--impersonate-service-account=x"}, "PROJECT is missing or not a name"),
        ({"REGION": "europe west1"}, "REGION is missing or not a name"),
        ({"SUPABASE_URL": "http://api.example.org"}, "SUPABASE_URL must be an https:// address"),
        ({"SUPABASE_URL": "http://kong:8000"}, "SUPABASE_URL must be an https:// address: Google cannot reach"),
        ({"WPP_QR_WAIT_SECONDS": "soon"}, "WPP_QR_WAIT_SECONDS must be a number"),
        ({"CORS_ALLOW_ORIGIN": "https://a.example|WPP_SECRET=mine"}, "CORS_ALLOW_ORIGIN must not contain |"),
        ({"LOG_LEVEL": "INFO\nDEBUG"}, "LOG_LEVEL must not contain | or line breaks"),
        ({"SECRETS": "WPP_SECRET"}, "SECRETS must be like NAME=secret:latest, not WPP_SECRET"),
        ({"SECRETS": "WPP_SECRT=wpp-secret:latest"}, "SECRETS must name one of SUPABASE_SERVICE_ROLE_KEY,"),
        ({"SECRETS": "WPP_SECRET=wpp-secret"}, "SECRETS must be like NAME=secret:latest, not WPP_SECRET=wpp-secret"),
        ({"PATH": "/nowhere"}, "gcloud is not found"),
    ],
)
def test_what_is_wrong_is_explained_in_a_line_and_not_in_a_traceback(wrong: dict[str, str], problem: str) -> None:
    deployed = _deploy(**wrong)
    assert deployed.returncode == 1
    assert problem in deployed.stderr
    assert "Traceback" not in deployed.stderr
    assert deployed.stdout == ""


@pytest.mark.parametrize(("outcome", "deployed"), [(0, ADDRESSES), (3, ADDRESSES[:1])])
def test_make_deploy_gcp_deploys_each_function_and_stops_at_a_failure(
    tmp_path: Path, outcome: int, deployed: list[str]
) -> None:
    log = tmp_path / "calls"
    stub = tmp_path / "gcloud"
    stub.write_text(f'#!/bin/sh\necho "$@" >> {log}\nexit {outcome}\n')
    stub.chmod(0o755)

    done = _deploy(PATH=f"{tmp_path}:{os.environ['PATH']}")

    assert done.returncode == min(outcome, 1)
    lines = log.read_text().splitlines()
    assert [line.split()[2] for line in lines] == deployed


def test_a_gcloud_that_cannot_be_run_is_explained_in_a_line(tmp_path: Path) -> None:
    stub = tmp_path / "gcloud"
    stub.write_text("#!/nowhere/python\n")
    stub.chmod(0o755)
    (tmp_path / "git").symlink_to(str(shutil.which("git")))

    deployed = _deploy(PATH=str(tmp_path))  # and no other gcloud

    assert deployed.returncode == 1
    assert deployed.stderr == "wpp-create is not deployed: gcloud cannot be run: No such file or directory\n"


def test_ctrl_c_ends_a_deployment_in_a_line_that_names_the_function(tmp_path: Path) -> None:
    stub = tmp_path / "gcloud"
    # As a terminal does it: gcloud and its parent get the signal.
    stub.write_text("#!/bin/sh\nsleep 0.2\nkill -INT $PPID\nkill -TERM $$\n")
    stub.chmod(0o755)

    deployed = _deploy(PATH=f"{tmp_path}:{os.environ['PATH']}")

    assert deployed.returncode == 130
    assert deployed.stderr == "interrupted: whether wpp-create is deployed, `make smoke` tells\n"
    assert len(deployed.stdout.splitlines()) == 1


def test_a_build_that_cannot_be_written_is_explained_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(gcf.build, "__defaults__", (tmp_path / "file/gcf",))
    monkeypatch.setattr(sys, "argv", ["gcf", "build"])
    with pytest.raises(SystemExit, match=f"error: {tmp_path}/file.*: Not a directory"):
        gcf.main()


def test_a_dry_run_prints_the_calls_and_makes_none(tmp_path: Path) -> None:
    deployed = _deploy(DRY_RUN="1", PATH=str(tmp_path) + ":/usr/bin:/bin")

    lines = deployed.stdout.splitlines()
    assert deployed.returncode == 0
    assert [line.split()[3] for line in lines] == ADDRESSES


def _deploy(**env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deploy.gcf", "deploy"]
    environ = {**os.environ, **GIVEN, "PYTHONPATH": str(ROOT / "shared"), **env}
    return subprocess.run(command, env=environ, cwd=ROOT, capture_output=True, text=True, check=False)
