"""The alert rules say what their unit tests say, and every one of them is tested."""

import re
from pathlib import Path

import pytest
import yaml
from manifests_kit import MONITORING, exposed, tool

RULES = MONITORING / "rules" / "parfocal.yaml"
TESTS = MONITORING / "rules_test" / "parfocal_test.yaml"
ALERTS = [rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def test_prometheus_can_read_the_rules() -> None:
    done = tool("promtool", "check", "rules", RULES)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(ALERTS)} rules found" in done.stdout


def test_every_alert_fires_when_it_should_and_only_then() -> None:
    done = tool("promtool", "test", "rules", TESTS)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", ALERTS)
@pytest.mark.parametrize("expression", ["vector(0) > 1", "vector(1)"], ids=["never", "always"])
def test_the_tests_notice_a_rule_that_never_or_always_fires(tmp_path: Path, alert: str, expression: str) -> None:
    rules = yaml.safe_load(RULES.read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            if rule["alert"] == alert:
                rule["expr"] = expression
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / RULES.name).write_text(yaml.safe_dump(rules))
    (tmp_path / "rules_test").mkdir()
    tests = yaml.safe_load(TESTS.read_text())
    tests["tests"] = [test for test in tests["tests"] if alert in str(test)]
    (tmp_path / "rules_test" / TESTS.name).write_text(yaml.safe_dump(tests))
    done = tool("promtool", "test", "rules", tmp_path / "rules_test" / TESTS.name)
    assert done.returncode != 0
    assert alert in done.stdout + done.stderr


@pytest.mark.parametrize("alert", ALERTS)
def test_every_rule_asks_for_what_the_services_really_show(tmp_path: Path, alert: str) -> None:
    expression, annotations = next(
        (rule["expr"], str(rule["annotations"]))
        for group in yaml.safe_load(RULES.read_text())["groups"]
        for rule in group["rules"]
        if rule["alert"] == alert
    )
    series = exposed(tmp_path)
    asked = set(re.findall(r"\bparfocal_\w+", expression))
    assert asked <= series.keys()
    assert asked or "up{" in expression
    grouped = {name for words in re.findall(r"(?:by|on) \(([^)]*)\)", expression) for name in words.split(", ")}
    matched = set(re.findall(r"[{,]\s*(\w+)\s*=", expression)) - {"job"}
    shown = set(re.findall(r"\$labels\.(\w+)", annotations)) - {"instance"}
    for metric in asked:
        assert (grouped | shown) <= series[metric], metric
    assert matched <= set().union(*(series[metric] for metric in asked), set())


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in ("warning", "critical"), rule["alert"]
            assert set(rule["annotations"]) == {"summary", "description", "next"}, rule["alert"]


def test_alertmanager_can_read_the_example() -> None:
    done = tool("amtool", "check-config", MONITORING / "alertmanager" / "parfocal.example.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("labels", "receiver"), [("alertname=DriftAlarm", "parfocal-monitor,operators"), ("alertname=X", "operators")]
)
def test_drift_reaches_the_monitor_and_everything_reaches_a_person(labels: str, receiver: str) -> None:
    example = MONITORING / "alertmanager" / "parfocal.example.yaml"
    done = tool("amtool", "config", "routes", "test", "--config.file", example, labels)
    assert done.stdout.strip() == receiver, done.stderr
