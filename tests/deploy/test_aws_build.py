"""The zips for AWS Lambda: the same bytes twice, only what is used, and run by AWS's own runtime client."""

from __future__ import annotations

import json
import struct
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version

from deploy import aws_build, bundle
from deploy.aws_build import Target, target_from
from emulator.processes import ROOT
from tests.support.aws import aws_client, aws_services
from tests.support.callers import CONNECTING, FUNCTIONS
from tests.support.lambda_runtime import LambdaInstance
from wpp.aws_secret import AwsSecrets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from emulator.stack import Stack
    from tests.support.callers import Caller

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="AWS's runtime client is for Linux"),
]

BILL = "wpp-functions.cdx.json"
IMPORTED = {"requests", "urllib3", "idna", "certifi", "charset_normalizer", "jose", "cryptography", "cffi"}
HERE = Target(
    f"{sys.version_info.major}.{sys.version_info.minor}",
    aws_build.this_machine(),
    sys.executable,
)
_AARCH64 = 0xB7  # e_machine of an ELF file


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    aws_build.build(HERE, folder)
    return folder


@pytest.fixture(scope="module")
def tasks(dist: Path) -> dict[str, Path]:
    """The zips unpacked, as Lambda does it."""
    for name in FUNCTIONS:
        with zipfile.ZipFile(dist / f"{name}.zip") as archive:
            archive.extractall(dist / "task" / name)
    return {name: dist / "task" / name for name in FUNCTIONS}


def event(name: str, token: str = "") -> dict[str, Any]:
    recorded: dict[str, Any] = json.loads((ROOT / f"tests/wpp/faas/events/{name}.json").read_text())
    recorded["headers"] = {**(recorded["headers"] or {}), "authorization": f"Bearer {token}"}
    return recorded


def test_a_second_build_gives_the_same_bytes(dist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "function_names", lambda: FUNCTIONS[:1])  # the packages are the same in each zip
    zips = aws_build.build(HERE, tmp_path)
    assert len(zips) == 1
    for again in (*zips, tmp_path / BILL):
        assert again.read_bytes() == (dist / again.name).read_bytes()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_zip_is_small_and_holds_what_is_used_and_no_more(dist: Path, name: str) -> None:
    path = dist / f"{name}.zip"
    names = set(zipfile.ZipFile(path).namelist())
    assert path.stat().st_size < 10_000_000
    assert {"main.py", "wpp/_build.py", "certifi/cacert.pem"} <= names
    # Licences come along as the packages' own metadata; nothing else is not imported.
    packages = {n.split("/")[0] for n in names if "/" in n and ".dist-info/" not in n} - {"__pycache__"}
    assert packages == {"wpp", *IMPORTED}


def test_each_module_is_compiled_and_its_source_not_looked_at(dist: Path) -> None:
    with zipfile.ZipFile(dist / "wpp_create.zip") as archive:
        names = archive.namelist()
        compiled = [name for name in names if name.endswith(".pyc")]
        flags = {struct.unpack("<I", archive.read(name)[4:8])[0] for name in compiled}
    assert len(compiled) == sum(name.endswith(".py") for name in names)
    assert flags == {1}  # by hash, unchecked: PEP 552


def test_the_default_is_built_here_for_machines_of_another_kind(tmp_path: Path) -> None:
    target = target_from({})
    assert (target.python, target.arch) == ("3.13", "arm64")
    aws_build.install(tmp_path / "packages", target)
    libraries = list(tmp_path.rglob("*.so"))
    assert any("cpython-313" in path.name for path in libraries)
    assert {struct.unpack("<H", path.read_bytes()[18:20])[0] for path in libraries} == {_AARCH64}


@pytest.mark.parametrize(
    ("env", "problem"),
    [({"ARCH": "mips"}, "ARCH must be"), ({"PYTHON_VERSION": "4"}, "PYTHON_VERSION must be"),
     ({"PYTHON_VERSION": "3.99", "BUILD_PYTHON": sys.executable}, "BUILD_PYTHON must be a Python 3.99")],
)  # fmt: skip
def test_a_wrong_target_is_named(env: dict[str, str], problem: str) -> None:
    with pytest.raises(SystemExit, match=problem):
        target_from(env)


def test_the_bill_of_materials_names_what_is_in_the_zips_and_the_files_it_may_be_installed_from(dist: Path) -> None:
    # Not for each process that collects the tests: it compiles 38 grammars.
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = (dist / BILL).read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bill = json.loads(text)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert bill["metadata"]["component"]["version"] == bundle.version()

    named = {(canonicalize_name(component["name"]), Version(component["version"])) for component in bill["components"]}
    files = zipfile.ZipFile(dist / "wpp_create.zip").namelist()
    folders = {name.split("/")[0] for name in files if ".dist-info/" in name}
    assert named == {parse_wheel_filename(folder.replace(".dist-info", "-py3-none-any.whl"))[:2] for folder in folders}
    for component in bill["components"]:
        assert component["purl"] == f"pkg:pypi/{component['name']}@{component['version']}"
        (distribution,) = component["externalReferences"]
        assert {digest["alg"] for digest in distribution["hashes"]} == {"SHA-256"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_unpacked_zip_answers(tasks: dict[str, Path], tmp_path: Path, stack: Stack, name: str) -> None:
    with LambdaInstance(tasks[name], tmp_path / "image", stack.environment()) as instance:
        health = instance.invoke(event("http_api_health"))
        preflight = instance.invoke(event("http_api_preflight"))
        refusal = instance.invoke(event("http_api", "no.jwt.atall"))
        metrics = [json.loads(line) for line in instance.process.output().splitlines() if line.startswith('{"_aws"')]

    expected = {"success": True, "function": bundle.address(name), "version": bundle.version()}
    assert json.loads(health["body"]) == expected
    assert preflight["statusCode"] == 204
    assert (refusal["statusCode"], json.loads(refusal["body"])["code"]) == (401, "invalid_token")
    assert [(one["function"], one["code"], one["calls"]) for one in metrics] == [
        (bundle.address(name), "invalid_token", 1)
    ]


@pytest.mark.parametrize("name", CONNECTING)
def test_the_unpacked_zip_connects_an_organization(
    tasks: dict[str, Path], tmp_path: Path, caller: Caller, name: str
) -> None:
    with LambdaInstance(tasks[name], tmp_path / "image", caller.stack.environment()) as instance:
        answer = instance.invoke(event("http_api", caller.token))

    assert answer["statusCode"] == 200, answer
    assert json.loads(answer["body"])["session"] == caller.row()["settings"]["wppAccountNumber"]


def test_an_instance_that_is_not_configured_starts_and_says_so(tasks: dict[str, Path], tmp_path: Path) -> None:
    with LambdaInstance(tasks["wpp_create"], tmp_path / "image", {}) as instance:
        answer = instance.invoke(event("http_api", "t.t.t"))
    assert (answer["statusCode"], json.loads(answer["body"])["code"]) == (500, "not_configured")
    assert instance.api.errors == []


def test_lambda_cuts_nothing_off(tasks: dict[str, Path], tmp_path: Path, caller: Caller) -> None:
    """The answer comes within the function's timeout, whatever the upstreams do."""
    caller.stack.platform_server.latency = 10
    with LambdaInstance(tasks["wpp_create"], tmp_path / "image", caller.stack.environment()) as instance:
        answer = instance.invoke(event("http_api", caller.token), seconds=2)
    assert answer["statusCode"] == 504


def test_after_a_restore_the_connections_to_aws_are_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that keeps its connections open, and counts them."""
    accepted = []

    class SecretsManager(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            accepted.append(self.client_address)
            super().setup()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body = b'{"SecretString": "value"}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), SecretsManager)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_address[1]}")
    secret = AwsSecrets().secret("WPP_SECRET", "arn:aws:secretsmanager:eu-central-1:123456789012:secret:x-AbCdEf")
    assert secret is not None
    secret.value()
    secret.forget()
    secret.value()
    server.shutdown()
    server.server_close()
    assert len(accepted) == 2


@pytest.fixture
def secrets_manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Secrets Manager on a port of its own; gives the environment that leads boto3 to it."""
    with aws_services() as env:
        for variable, value in env.items():
            monkeypatch.setenv(variable, value)
        yield env


def test_after_a_restore_nothing_of_the_snapshot_is_used(
    tasks: dict[str, Path], tmp_path: Path, caller: Caller, stack: Stack, secrets_manager: dict[str, str]
) -> None:
    env = stack.environment()
    client = aws_client("secretsmanager")
    arn = client.create_secret(Name="wpp", SecretString="the-secret-when-the-snapshot-was-taken")["ARN"]
    env |= {**secrets_manager, "WPP_SECRET": arn}
    with LambdaInstance(tasks["wpp_create"], tmp_path / "image", env, snap_start=True) as instance:
        assert instance.api.initialised.wait(20)
        client.put_secret_value(SecretId=arn, SecretString=stack.environment()["WPP_SECRET"])
        instance.api.restored.set()
        answer = instance.invoke(event("http_api", caller.token))

    assert answer["statusCode"] == 200, answer
    # The secret of the snapshot would have been refused once.
    received = [
        r for r in stack.platform_server.received if r.call == "create"
    ]  # one of the test before may arrive late
    assert [r.status for r in received if r.request.json()["organizationId"] == caller.organization_id] == [200]
