"""What is installed: exact versions with hashes, none with a known vulnerability that concerns us, and the same everywhere."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import cache
from importlib.metadata import distributions
from typing import TYPE_CHECKING

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version
from pip_requirements_parser import RequirementsFile

from emulator.processes import ROOT

if TYPE_CHECKING:
    from pip_requirements_parser import InstallRequirement

    from tests.support.projects import Project

pytestmark = pytest.mark.slow
LOCKS = sorted(path.name for path in ROOT.glob("requirements*.lock"))

# The first version without the vulnerability. A lock that is resolved anew must not fall behind any of them.
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


@cache
def requirements(lock: str) -> list[InstallRequirement]:
    """As pip reads them."""
    parsed = RequirementsFile.from_file(str(ROOT / lock))
    assert not parsed.invalid_lines
    assert not parsed.options  # neither an index nor a folder of somebody's own to install from
    return list(parsed.requirements)


def versions(lock: str) -> dict[str, set[Version]]:
    """Those of each package. A lock has several where they differ between platforms."""
    found: dict[str, set[Version]] = {}
    for requirement in requirements(lock):
        found.setdefault(canonicalize_name(requirement.name), set()).add(Version(requirement.get_pinned_version))
    return found


def test_there_is_a_lock_for_each_way_to_run_the_functions_and_for_the_tools() -> None:
    targets = ("", "-aws", "-build", "-dev", "-gcf", "-mutants", "-server")
    assert sorted(f"requirements{target}.lock" for target in targets) == LOCKS


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_pins_every_package_to_one_version_and_its_hashes(name: str) -> None:
    locked = requirements(name)
    assert len(locked) > 7
    assert not [requirement.name for requirement in locked if not requirement.is_pinned or requirement.link]
    assert not [requirement.name for requirement in locked if not requirement.hash_options]
    assert len({(requirement.name, str(requirement.marker)) for requirement in locked}) == len(locked)


@pytest.mark.parametrize("name", LOCKS)
def test_a_package_has_the_same_version_in_every_lock(name: str) -> None:
    """What is tested is what ships."""
    tested = versions("requirements-mutants.lock") | versions("requirements-dev.lock")
    assert {package: found for package, found in versions(name).items() if not found <= tested[package]} == {}


def test_everything_is_installed_with_its_hashes_checked() -> None:
    makefile = (ROOT / "Makefile").read_text()
    installs = [line for line in makefile.splitlines() if "pip install" in line]
    assert installs
    for line in installs:
        assert "--require-hashes" in line or "--no-deps" in line, line
    assert not re.search(r"\b(npx|uvx|pipx|npm install)\b", makefile)


@pytest.mark.parametrize("folder", ["shared/deploy/aws", "tests/client"])
def test_what_npm_installs_is_locked_with_all_that_it_needs_and_its_hashes(folder: str) -> None:
    """`npm ci` refuses a package whose hash is another, and a lock that does not fit package.json."""
    wanted = json.loads((ROOT / folder / "package.json").read_text())
    packages = json.loads((ROOT / folder / "package-lock.json").read_text())["packages"]
    root = packages.pop("")
    named = wanted.get("dependencies", {}) | wanted.get("devDependencies", {})
    assert root.get("dependencies", {}) | root.get("devDependencies", {}) == named
    assert {name: packages[f"node_modules/{name}"]["version"] for name in named} == named
    assert not [path for path, package in packages.items() if not package["integrity"].startswith("sha512-")]


@pytest.mark.parametrize("name", LOCKS)
def test_no_package_is_older_than_the_fix_of_its_known_vulnerabilities(name: str) -> None:
    locked = versions(name)
    floors = {package: Version(floor) for package, (floor, _) in FLOORS.items()}
    assert {p: found for p, found in locked.items() if min(found) < floors.get(p, min(found))} == {}


def test_what_is_installed_is_what_is_locked() -> None:
    locked = versions("requirements-dev.lock")
    installed = {canonicalize_name(d.metadata["Name"]): Version(d.version) for d in distributions()}
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
from wpp.config import config_from
from wpp.http.transport import Transport
from wpp.http.upstream import Upstream
from wpp.supabase.caller import CallerCheck
from wpp.supabase.signing_keys import SigningKeys
given = json.load(sys.stdin)
clock = Clock()
settings = config_from(given["env"])
upstream = Upstream(Transport(), Deadline(20, clock), clock, "test")
check = CallerCheck(settings, SigningKeys(settings.supabase_url, clock))
print(json.dumps([check.user_id(token, upstream) for token in given["tokens"]]))
assert not [name for name in sys.modules if name.split(".")[0] in ("ecdsa", "rsa")]
"""


def test_python_ecdsa_is_off_our_path(projects: dict[str, Project]) -> None:
    """GHSA-wj6h-64fc-37mp (CVE-2024-23342): the time in which python-ecdsa signs reveals the key, and will not be fixed.

    python-jose depends on it, but does not import it where `cryptography` is installed, and we sign nothing. Here every import
    of it fails, and each kind of token is still verified.
    """
    tokens = [project.stack.supabase.auth.sign(project.stack.supabase.auth.claims(project.victim.user_id), algorithm)
              for algorithm, project in projects.items()]  # fmt: skip
    given = {"env": projects["HS256"].stack.environment(), "tokens": tokens}
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_ECDSA],
        input=json.dumps(given),
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
