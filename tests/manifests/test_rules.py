"""The alert rules say what their unit tests say, and every one of them is tested."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics import MetricWrapperBase

MONITORING = Path(__file__).parents[2] / "manifests" / "monitoring"
RULES = MONITORING / "rules" / "parfocal.yaml"
TESTS = MONITORING / "rules_test" / "parfocal_test.yaml"
ALERTS = [rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def tool(name: str, *words: object) -> "subprocess.CompletedProcess[str]":
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: `make system` installs it (Debian: prometheus, prometheus-alertmanager)")
    return subprocess.run([found, *map(str, words)], capture_output=True, text=True, check=False)


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


def exposed(folder: Path) -> dict[str, set[str]]:
    """Every sample that the two services show Prometheus, with the labels that it can have."""
    from parfocal_serving.monitor.database import connect
    from parfocal_serving.monitor.metrics import MonitorCollector
    from parfocal_serving.monitor.references import References
    from parfocal_serving.segmenter import metrics

    found: dict[str, set[str]] = {}
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            (family,) = metric.describe()
            suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
            found |= {family.name + suffix: set(metric._labelnames) for suffix in suffixes}
    database = connect(f"sqlite:///{folder / 'monitor.db'}")
    for family in MonitorCollector(database, References(folder), "fundus").collect():
        assert isinstance(family, CounterMetricFamily | GaugeMetricFamily)
        name = family.name + ("_total" if family.type == "counter" else "")
        found[name] = set(family._labelnames) | {label for sample in family.samples for label in sample.labels}
    database.close()
    return found


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
