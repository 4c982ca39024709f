"""The software bill of materials of a build, in CycloneDX 1.6, from the lock that the build installs from.

    python -m deploy.sbom requirements.lock 0.1.0+abc123 > dist/sbom.cdx.json

Same lock and version, same bytes: it holds no time and no random number.
"""

from __future__ import annotations

import json
import re
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Container

_PIN = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[^\s;\\]+)\s*(?:;\s*(?P<marker>[^\\]+?))?\s*\\?")
_HASH = re.compile(r"\s+--hash=sha256:(?P<digest>[0-9a-f]{64})\s*\\?")
_NAMESPACE = uuid.UUID("0d9a1b0c-6f39-5f0e-8c55-1d5c1f3d7a42")


@dataclass(frozen=True)
class Pin:
    """One package of a lock."""

    name: str
    version: str
    marker: str | None = None
    """Where it is installed at all, as an environment marker."""
    hashes: list[str] = field(default_factory=list)
    """SHA-256 of each file that may be installed."""
    required_by: list[str] = field(default_factory=list)

    @property
    def purl(self) -> str:
        return f"pkg:pypi/{self.name}@{self.version}"


def pins(lock: str) -> list[Pin]:
    """The packages of a lock as uv and pip-tools write it. Raises ValueError for a line that is neither pin, hash nor comment."""
    found: list[Pin] = []
    for line in lock.splitlines():
        if not line.strip():
            continue
        if line.lstrip().startswith("#"):
            name = line.lstrip(" #").removeprefix("via").strip()
            if found and name:
                found[-1].required_by.append(name)
        elif (match := _PIN.fullmatch(line)) is not None:
            name = re.sub(r"[-_.]+", "-", match["name"]).lower()
            found.append(Pin(name, match["version"], match["marker"]))
        elif found and (match := _HASH.fullmatch(line)) is not None:
            found[-1].hashes.append(match["digest"])
        else:
            raise ValueError(f"a lock holds only exact versions with hashes; this is neither: {line.strip()[:80]}")
    return found


def bill_of_materials(lock: str, version: str, *, leave_out: Container[str] = ()) -> dict[str, Any]:
    """The CycloneDX document for this project at `version`. `leave_out` names packages that the build does not ship."""
    shipped = [pin for pin in pins(lock) if pin.name not in leave_out]
    own = f"pkg:generic/wpp-functions@{version}"
    refs = {pin.name: pin.purl for pin in shipped}
    needs: dict[str, list[str]] = {own: [], **{pin.purl: [] for pin in shipped}}
    for pin in shipped:
        for name in pin.required_by:
            parent = refs.get(name, own if name.startswith("wpp-functions") else None)
            if parent is not None:
                needs[parent].append(pin.purl)
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, version + chr(10) + ' '.join(refs.values()))}",
        "version": 1,
        "metadata": {"component": {"type": "application", "bom-ref": own, "name": "wpp-functions", "version": version}},
        "components": [_component(pin) for pin in shipped],
        "dependencies": [{"ref": ref, "dependsOn": sorted(set(on))} for ref, on in needs.items()],
    }


def _component(pin: Pin) -> dict[str, Any]:
    described: dict[str, Any] = {
        "type": "library",
        "bom-ref": pin.purl,
        "name": pin.name,
        "version": pin.version,
        "purl": pin.purl,
        "hashes": [{"alg": "SHA-256", "content": digest} for digest in pin.hashes],
    }
    if pin.marker:
        described["properties"] = [{"name": "python:marker", "value": pin.marker}]
    return described


def main() -> None:
    lock, version = sys.argv[1:]
    json.dump(bill_of_materials(Path(lock).read_text(), version), sys.stdout, indent=2)


if __name__ == "__main__":
    main()
