"""What a benchmark found: as a table, as JSON, and held against the budgets."""

from __future__ import annotations

import json
import os
import platform
import statistics
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BUDGETS = Path(__file__).parent / "budgets.toml"


class Report:
    """Figures in the order in which they were found. Prints each as it comes."""

    def __init__(self) -> None:
        self._figures: dict[str, dict[str, Any]] = {}
        self._ratios: dict[str, float] = {}

    def heading(self, text: str) -> None:
        print(f"\n{text}")

    def times(self, name: str, seconds: Sequence[float]) -> float:
        """Median and 99th percentile in milliseconds; returns the median."""
        ordered = sorted(seconds)
        median = statistics.median(ordered) * 1000
        p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))] * 1000
        self._figures[name] = {"median_ms": round(median, 2), "p99_ms": round(p99, 2), "measured": len(ordered)}
        print(f"  {name:<58}{median:9.1f} ms   p99 {p99:8.1f} ms   of {len(ordered)}")
        return median

    def number(self, name: str, value: float, unit: str) -> float:
        self._figures[name] = {"value": round(value, 3), "unit": unit}
        print(f"  {name:<58}{value:9.2f} {unit}")
        return value

    def ratio(self, name: str, value: float) -> None:
        """A figure that may have a budget: `name` is its entry there."""
        self._ratios[name] = round(value, 3)
        print(f"  {name:<58}{value:9.2f}")

    def check(self) -> list[str]:
        """Prints every budget with what was found; the broken ones."""
        self.heading("budgets")
        broken = []
        for name, limits in tomllib.loads(BUDGETS.read_text()).items():
            found = self._ratios.get(name)
            kept = found is None or limits.get("at_least", found) <= found <= limits.get("at_most", found)
            limit = " ".join(f"{word.replace('_', ' ')} {value}" for word, value in limits.items())
            shown = "not measured" if found is None else f"{found:9.2f}   {'kept' if kept else 'BROKEN'}"
            print(f"  {name:<44}{limit:<16}{shown}")
            if not kept:
                broken.append(name)
        return broken

    def save(self, path: Path, broken: Sequence[str]) -> None:
        found = {"machine": machine(), "figures": self._figures, "ratios": self._ratios, "broken": list(broken)}
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(found, indent=2) + "\n")


def machine() -> Mapping[str, Any]:
    """What the figures depend on."""
    info = Path("/proc/cpuinfo").read_text()
    models = [line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 1),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }
