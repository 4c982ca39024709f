"""What is installed: exact versions with hashes, none with a known hole in our way, all of it named in a bill of materials."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from deploy.sbom import bill_of_materials, pins
from emulator.processes import ROOT

if TYPE_CHECKING:
    from tests.support.projects import Project

LOCKS = ["requirements.lock", "requirements-dev.lock"]

# The first version without the hole. A lock that is resolved anew must not fall behind any of them.
FLOORS = {
    "certifi": ("2024.7.4", "CVE-2024-39689"),
    "cryptography": ("44.0.1", "CVE-2024-12797"),
    "flask": ("3.1.1", "CVE-2025-47278"),
    "gunicorn": ("23.0.0", "CVE-2024-1135, CVE-2024-6827: request smuggling"),
    "h11": ("0.16.0", "CVE-2025-43859: request smuggling"),
    "idna": ("3.7", "CVE-2024-3651"),
    "jinja2": ("3.1.6", "CVE-2025-27516"),
    "python-jose": ("3.4.0", "CVE-2024-33663: key confusion; CVE-2024-33664: JWE bomb"),
    "requests": ("2.32.4", "CVE-2024-35195, CVE-2024-47081"),
    "setuptools": ("78.1.1", "CVE-2025-47273"),
    "starlette": ("0.49.1", "CVE-2025-62727"),
    "urllib3": ("2.6.3", "CVE-2025-66418, CVE-2025-66471, CVE-2026-21441: decompression bombs"),
    "werkzeug": ("3.1.4", "CVE-2024-34069, CVE-2024-49767, CVE-2025-66221"),
}


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_pins_every_package_to_one_version_and_its_hashes(name: str) -> None:
    text = (ROOT / name).read_text()
    found = pins(text)
    assert len(found) > 20
    assert not [pin.name for pin in found if not pin.hashes]
    assert len({(pin.name, pin.marker) for pin in found}) == len(found)
    assert "://" not in text  # neither an address to install from nor an index of somebody's own
    assert not re.search(r"^\s*(-e|--(extra-)?index-url|--find-links|--trusted-host)", text, re.MULTILINE)


def test_everything_is_installed_with_its_hashes_checked() -> None:
    makefile = (ROOT / "Makefile").read_text()
    installs = [line for line in makefile.splitlines() if "pip install" in line and "uv pip compile" not in line]
    assert installs
    for line in installs:
        assert "--require-hashes" in line or "--no-deps" in line, line


@pytest.mark.parametrize("name", LOCKS)
@pytest.mark.parametrize("package", FLOORS)
def test_no_package_is_older_than_the_mending_of_its_known_holes(name: str, package: str) -> None:
    floor, _ = FLOORS[package]
    for pin in pins((ROOT / name).read_text()):
        if pin.name == package:
            assert _numbers(pin.version) >= _numbers(floor)


def test_what_is_installed_is_what_is_locked() -> None:
    from importlib.metadata import distributions

    locked: dict[str, set[str]] = {}
    for pin in (pin for name in LOCKS for pin in pins((ROOT / name).read_text())):
        locked.setdefault(pin.name, set()).add(pin.version)
    installed = {re.sub(r"[-_.]+", "-", d.metadata["Name"]).lower(): d.version for d in distributions()}
    strange = {name: version for name, version in installed.items() if version not in locked.get(name, {version})}
    assert len(installed.keys() & locked.keys()) > 20
    assert not strange


_WITHOUT_ECDSA = """
import json, sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("ecdsa", "rsa") or name in ("jose.backends.ecdsa_backend", "jose.backends.rsa_backend"):
            raise ImportError("off the path: " + name)
sys.meta_path.insert(0, Blocker())
from wpp.clock import Clock, Deadline
from wpp.config import settings_from
from wpp.http.transport import Transport
from wpp.http.upstream import Upstream
from wpp.supabase.caller import CallerCheck
from wpp.supabase.signing_keys import SigningKeys
asked = json.load(sys.stdin)
clock = Clock()
settings = settings_from(asked["env"])
upstream = Upstream(Transport(), Deadline(20, clock), clock, "test")
check = CallerCheck(settings, SigningKeys(settings.supabase_url, clock))
print(json.dumps([check.user_id(token, upstream) for token in asked["tokens"]]))
assert not [name for name in sys.modules if name.split(".")[0] in ("ecdsa", "rsa")]
"""


def test_python_ecdsa_is_off_our_path(projects: dict[str, Project]) -> None:
    """GHSA-wj6h-64fc-37mp (CVE-2024-23342): python-ecdsa signs in a time that tells about the key, and will not be mended.

    python-jose brings it along. With `cryptography` there it never imports it, and we sign nothing. Here every import of it
    fails, and each kind of token is verified all the same.
    """
    tokens = [project.stack.supabase.auth.sign(project.stack.supabase.auth.claims(project.victim.user_id), algorithm)
              for algorithm, project in projects.items()]  # fmt: skip
    asked = {"env": projects["HS256"].stack.environment(), "tokens": tokens}
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_ECDSA],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [project.victim.user_id for project in projects.values()]


def test_the_audit_passes_over_no_advisory_but_the_one_that_is_explained() -> None:
    accepted = re.findall(r"--ignore-vuln[ =](\S+)", (ROOT / "Makefile").read_text())
    assert accepted == ["GHSA-wj6h-64fc-37mp"]
    assert re.findall(r"(?:GHSA|PYSEC)-[\w-]+", (ROOT / "SECURITY.md").read_text()) == accepted


def test_nothing_of_ours_imports_python_ecdsa() -> None:
    for path in [*(ROOT / "shared").rglob("*.py"), *(ROOT / "functions").rglob("*.py")]:
        assert not re.search(r"^\s*(import|from)\s+(ecdsa|rsa)\b", path.read_text(), re.MULTILINE), path


def test_the_bill_of_materials_names_every_package_with_its_hashes_and_what_needs_it() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    bill = bill_of_materials(lock, "1.2.3")
    components = {component["name"]: component for component in bill["components"]}
    assert (bill["bomFormat"], bill["specVersion"], bill["metadata"]["component"]["version"]) == (
        "CycloneDX",
        "1.6",
        "1.2.3",
    )
    assert set(components) == {pin.name for pin in pins(lock)}
    assert components["python-jose"]["purl"] == f"pkg:pypi/python-jose@{components['python-jose']['version']}"
    assert all(component["hashes"] for component in components.values())
    needs = {d["ref"]: d["dependsOn"] for d in bill["dependencies"]}
    assert components["ecdsa"]["purl"] in needs[components["python-jose"]["purl"]]
    assert {components[n]["purl"] for n in ("requests", "boto3", "python-jose", "functions-framework")} <= set(
        needs["pkg:generic/wpp-functions@1.2.3"]
    )
    assert len(needs) == len(components) + 1
    assert all(ref in needs for on in needs.values() for ref in on)


def test_the_same_lock_gives_the_same_bill() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert json.dumps(bill_of_materials(lock, "1")) == json.dumps(bill_of_materials(lock, "1"))
    assert bill_of_materials(lock, "1")["serialNumber"] != bill_of_materials(lock, "2")["serialNumber"]
    assert "boto3" not in {c["name"] for c in bill_of_materials(lock, "1", leave_out={"boto3"})["components"]}


@pytest.mark.parametrize(
    "line", ["requests>=2", "requests", "git+https://example.com/a.git", "-e .", "--index-url https://a.example"]
)
def test_a_lock_with_anything_but_exact_versions_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="exact versions"):
        pins(line)
