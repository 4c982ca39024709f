"""The alert rules and the dashboard: that they can be read, fire when they should, and ask for what the server shows."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from emulator.processes import ROOT
from wpp.clock import Clock
from wpp.faas.prometheus import Metrics
from wpp.faas.reports import CallReport
from wpp.http.trace import Trace, TracedRequest

if TYPE_CHECKING:
    from pathlib import Path

MONITORING = ROOT / "shared/deploy/monitoring"
RUNBOOK = ROOT / "docs/runbook.md"
_SUFFIX = re.compile(r"_(?:bucket|count|sum)$")
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None and not os.environ.get("CI"), reason="promtool is in Debian's package prometheus"
)


def promtool(*arguments: str) -> str:
    ran = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def queries_of_the_dashboard() -> list[str]:
    panels = json.loads((MONITORING / "grafana.json").read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


@needs_promtool
def test_each_alert_fires_for_its_cause_and_for_nothing_else() -> None:
    promtool("test", "rules", str(ROOT / "tests/deploy/alerts_test.yml"))
    promtool("check", "config", str(MONITORING / "prometheus.yml"))


@needs_promtool
def test_prometheus_reads_each_query_of_the_dashboard(tmp_path: Path) -> None:
    queries = [query.replace("$__rate_interval", "1m") for query in queries_of_the_dashboard()]
    rules = [{"record": f"query_{number}", "expr": query} for number, query in enumerate(queries)]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(queries)} rules found" in promtool("check", "rules", str(tmp_path / "rules.yml"))


def test_alerts_and_dashboard_ask_for_metrics_and_labels_that_are_there() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    trace = Trace(Clock())
    trace.requests.append(TracedRequest("platform", "status", "200", 0.1))
    trace.events["restart"] += 1
    trace.session_state = "connected"
    metrics.began("wpp-create")
    metrics.answered(CallReport("wpp-create", 200, None, 0.1, trace, shows_qr=True))
    shown: dict[str, set[str]] = {}
    for family in registry.collect():
        for sample in family.samples:
            shown.setdefault(_SUFFIX.sub("", sample.name), set()).update(sample.labels)

    for query in [*queries_of_the_dashboard(), *(rule["expr"] for rule in alerts())]:
        names = re.findall(r"\bwpp_\w+", query)
        assert names or 'up{job="wpp-functions"}' in query
        for name in names:
            assert _SUFFIX.sub("", name) in shown, query
        labels = {label for name in names for label in shown[_SUFFIX.sub("", name)]} | {"job"}
        used = set(re.findall(r"[{,]\s*(\w+)\s*[=!]", query))
        grouped = {label.strip() for group in re.findall(r"by \(([^)]*)\)", query) for label in group.split(",")}
        assert used | grouped <= labels, query


def test_the_runbook_has_a_section_for_each_alert() -> None:
    headings = set(re.findall(r"^### (\w+)$", RUNBOOK.read_text(), re.MULTILINE))
    for rule in alerts():
        assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{rule['alert'].lower()}"
        assert rule["alert"] in headings
