"""On a cluster an alarm goes the way it goes on one machine, the autoscaler counts right, every alert has its page."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from manifests_kit import MANIFESTS, MONITORING, ROOT, kustomized, one, tool

WORDS = {
    "groupBy": "group_by", "groupWait": "group_wait", "groupInterval": "group_interval",
    "repeatInterval": "repeat_interval", "sendResolved": "send_resolved", "httpConfig": "http_config",
    "webhookConfigs": "webhook_configs", "inhibitRules": "inhibit_rules",
    "sourceMatch": "source_matchers", "targetMatch": "target_matchers",
}  # fmt: skip
"""Names of an AlertmanagerConfig to those of Alertmanager's own file."""
MATCHERS = {"matchers", "source_matchers", "target_matchers"}


def plain(value: Any) -> Any:
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    found = {WORDS.get(name, name): plain(inner) for name, inner in value.items()}
    for name in MATCHERS & found.keys():
        found[name] = [f'{m["name"]}{m.get("matchType", "=")}"{m["value"]}"' for m in found[name]]
    if "credentials" in found:
        found["credentials"] = f"{found['credentials']['name']}/{found['credentials']['key']}"
    return found


def rendered() -> dict[str, Any]:
    """What the operator makes of the AlertmanagerConfig: one branch, that takes the alerts of its namespace alone."""
    value = one("production", "AlertmanagerConfig", "parfocal")
    spec, mine = plain(value["spec"]), f'namespace="{value["metadata"]["namespace"]}"'
    branch = {**spec["route"], "matchers": [mine], "continue": True}
    for rule in spec["inhibit_rules"]:
        rule["source_matchers"].append(mine)
        rule["target_matchers"].append(mine)
    receivers = [{"name": "null"}, *spec["receivers"]]
    route = {"receiver": "null", "routes": [branch]}
    return {"route": route, "receivers": receivers, "inhibit_rules": spec["inhibit_rules"]}


def alerts() -> list[dict[str, Any]]:
    groups = one("production", "PrometheusRule", "parfocal")["spec"]["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_alertmanager_takes_what_the_operator_makes_of_it(tmp_path: Path) -> None:
    file = tmp_path / "alertmanager.yml"
    file.write_text(yaml.safe_dump(rendered()))
    done = tool("amtool", "check-config", file)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("alert", "receivers"), [("DriftAlarm", "monitor,operators"), ("MonitorDown", "operators"), (None, "null")]
)
def test_alerts_go_where_they_go_on_one_machine(tmp_path: Path, alert: str | None, receivers: str) -> None:
    """With the labels that the rule gives them: without `namespace` the alarm would reach nobody."""
    file = tmp_path / "alertmanager.yml"
    file.write_text(yaml.safe_dump(rendered()))
    rules = alerts()
    labels = next((rule["labels"] for rule in rules if rule["alert"] == alert), {"severity": "warning"})
    words = [f"{name}={value}" for name, value in {**labels, "alertname": alert or "Other"}.items()]
    done = tool("amtool", "config", "routes", "test", "--config.file", file, *words)
    assert done.stdout.strip() == receivers, done.stderr


def test_the_way_of_a_drift_alarm_is_that_of_the_example() -> None:
    example = yaml.safe_load((MONITORING / "alertmanager" / "parfocal.example.yaml").read_text())
    branch = rendered()["route"]["routes"][0]
    for ours, theirs in zip(branch["routes"], example["route"]["routes"], strict=True):
        assert {k: v for k, v in ours.items() if k.endswith(("wait", "interval"))} == {
            k: v for k, v in theirs.items() if k.endswith(("wait", "interval"))
        }
        assert ours.get("continue") == theirs.get("continue")


def test_prometheus_takes_the_rules_of_the_cluster(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(one("production", "PrometheusRule", "parfocal")["spec"]))
    done = tool("promtool", "check", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_autoscaler_counts_requests_in_flight_by_pod(tmp_path: Path) -> None:
    """prometheus-adapter's query, filled in as it does, for a pod with requests and one that nobody has asked yet."""
    (rule,) = yaml.safe_load((MONITORING / "prometheus_adapter.yaml").read_text())["rules"]["custom"]
    metric = one("production", "HorizontalPodAutoscaler", "parfocal-segmenter")["spec"]["metrics"][-1]["pods"]
    assert metric["metric"]["name"] == rule["name"]["as"]
    series = rule["seriesQuery"].partition("{")[0]
    from importlib.metadata import distribution

    source = Path(str(distribution("bentoml").locate_file("bentoml/_internal/server/http/instruments.py"))).read_text()
    assert series == "bentoml_service_request_in_progress"
    assert 'name="request_in_progress"' in source
    query = rule["metricsQuery"].replace("<<.Series>>", series).replace("<<.GroupBy>>", "pod")
    query = query.replace("<<.LabelMatchers>>", 'namespace="parfocal",pod=~"a|b"')
    labels = 'namespace="parfocal", job="parfocal-segmenter"'
    test = {
        "interval": "15s",
        "input_series": [
            {"series": f'{series}{{{labels}, pod="a", endpoint="/segment"}}', "values": "4x20"},
            {"series": f'{series}{{{labels}, pod="a", endpoint="/refine"}}', "values": "1x20"},
            {"series": f'{series}{{{labels}, pod="a", endpoint="/readyz"}}', "values": "9x20"},
            {"series": f'up{{{labels}, pod="a"}}', "values": "1x20"},
            {"series": f'up{{{labels}, pod="b"}}', "values": "1x20"},
        ],
        "promql_expr_test": [
            {
                "expr": query,
                "eval_time": "4m",
                "exp_samples": [{"labels": '{pod="a"}', "value": 5}, {"labels": '{pod="b"}', "value": 0}],
            }
        ],
    }
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump({"evaluation_interval": "15s", "tests": [test]}))
    done = tool("promtool", "test", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr


def headings(file: Path) -> set[str]:
    """Anchors of a page, as every viewer of Markdown makes them."""
    lines = re.findall(r"^#{2,4} (.+)$", file.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", line.lower()).strip().replace(" ", "-") for line in lines}


def test_every_alert_has_a_page_that_says_what_to_do() -> None:
    rules = alerts()
    for rule in rules:
        page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert anchor in headings(ROOT / page), rule["alert"]
    runbook = (ROOT / "docs" / "operations.md").read_text()
    listed = re.findall(r"^### (\w+)$", runbook.partition("## Runbook")[2].partition("\n## ")[0], re.MULTILINE)
    assert sorted(listed) == sorted(rule["alert"] for rule in rules)  # and no alert that is gone


def test_the_profile_is_the_overlays_namespace() -> None:
    profile = yaml.safe_load((MANIFESTS / "kubeflow" / "profile.yaml").read_text())
    (namespace,) = kustomized(MANIFESTS / "namespace")
    assert profile["metadata"]["name"] == namespace["metadata"]["name"]
