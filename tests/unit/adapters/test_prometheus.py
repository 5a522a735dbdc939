"""What the local Prometheus and Alertmanager are told is something that they understand."""

import shutil
import stat
import subprocess
from pathlib import Path

import pytest
import yaml

from parfocal.adapters import prometheus

PORTS = {"segmenter": 3001, "monitor": 3002, "alertmanager": 3003, "mlflow": 3004}


def check(program: str, *words: object) -> None:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed: `make system` installs it")
    done = subprocess.run([found, *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_are_part_of_the_installation() -> None:
    groups = yaml.safe_load(prometheus.rule_file().read_text())["groups"]
    assert "DriftAlarm" in {rule["alert"] for group in groups for rule in group["rules"]}


def test_the_rules_look_at_the_jobs_that_are_scraped() -> None:
    for job in prometheus.JOBS.values():
        assert f'job="{job}"' in prometheus.rule_file().read_text()


def test_the_programs_accept_what_is_written(tmp_path: Path) -> None:
    ours, alertmanager = prometheus.write(tmp_path, PORTS, "http://127.0.0.1:3002", "secret")
    check("promtool", "check", "config", ours)
    check("amtool", "check-config", alertmanager)


def test_both_services_are_scraped_and_alarms_go_to_alertmanager(tmp_path: Path) -> None:
    ours, alertmanager = prometheus.write(tmp_path, PORTS, "http://127.0.0.1:3002", "secret")
    said = yaml.safe_load(ours.read_text())
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in said["scrape_configs"]}
    assert targets == {"parfocal-segmenter": ["127.0.0.1:3001"], "parfocal-monitor": ["127.0.0.1:3002"]}
    assert said["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] == ["127.0.0.1:3003"]
    (hook,) = yaml.safe_load(alertmanager.read_text())["receivers"][1]["webhook_configs"]
    assert hook["url"] == "http://127.0.0.1:3002/alerts"
    token = Path(hook["http_config"]["authorization"]["credentials_file"])
    assert token.read_text() == "secret"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert "secret" not in ours.read_text() + alertmanager.read_text()


def test_without_alertmanager_prometheus_sends_nothing(tmp_path: Path) -> None:
    ports = {name: port for name, port in PORTS.items() if name != "alertmanager"}
    ours, _ = prometheus.write(tmp_path, ports, "http://127.0.0.1:3002", "secret")
    assert "alerting" not in yaml.safe_load(ours.read_text())
    check("promtool", "check", "config", ours)
