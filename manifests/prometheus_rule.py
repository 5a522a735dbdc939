"""Writes `monitoring/prometheus_rule.yaml` from the alert rules: `python manifests/prometheus_rule.py`.

The rules are written once, as Prometheus itself reads them. On a cluster each also carries its namespace, by which the
operator's Alertmanager tells whose it is, and the page of the runbook.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

MONITORING = Path(__file__).parent / "monitoring"
RULES, OUT = MONITORING / "rules" / "parfocal.yaml", MONITORING / "prometheus_rule.yaml"
NAMESPACE = "parfocal"
RUNBOOK = "docs/operations.md"
"""Heading of an alert: its name, as a page of this repository or of a copy of it shows it."""
HEAD = "# Made by `python manifests/prometheus_rule.py` from rules/parfocal.yaml, which is the file to change.\n"


def resource(rules: dict[str, Any]) -> dict[str, Any]:
    """The PrometheusRule of a rule file's content."""
    groups = [{**group, "rules": [_rule(rule) for rule in group["rules"]]} for group in rules["groups"]]
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "parfocal", "labels": {"app.kubernetes.io/name": "parfocal"}},
        "spec": {"groups": groups},
    }


def _rule(rule: dict[str, Any]) -> dict[str, Any]:
    runbook = f"{RUNBOOK}#{rule['alert'].lower()}"
    return {
        **rule,
        "labels": {**rule["labels"], "namespace": NAMESPACE},
        "annotations": {**rule["annotations"], "runbook_url": runbook},
    }


def render() -> str:
    """The file's text."""
    made = resource(yaml.safe_load(RULES.read_text()))
    return HEAD + yaml.safe_dump(made, sort_keys=False, allow_unicode=True, width=120)


if __name__ == "__main__":
    OUT.write_text(render())
