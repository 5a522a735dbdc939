"""The whole loop, as a newcomer sees it: one command, real processes, about ten minutes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

MINUTES = 20


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str]:
    """The demo's folder, its summary and what it printed."""
    out = tmp_path_factory.mktemp("demo") / "run"
    command = [sys.executable, "-m", "parfocal", "demo", "--no-wait", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60 * MINUTES, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return out, json.loads((out / "summary.json").read_text()), done.stdout


pytestmark = [pytest.mark.slow, pytest.mark.timeout(60 * MINUTES + 60)]


def test_the_new_camera_is_noticed_soon_and_the_known_one_never(finished: tuple[Path, dict[str, Any], str]) -> None:
    alarm = finished[1]["alarm"]
    assert alarm["instrument"] == "B"
    assert alarm["observations_to_alarm"] <= 20
    assert alarm["known_cases"] == 200
    assert alarm["false_alarms"] == 0
    assert alarm["alarms_after_promotion"] == 0


def test_the_gate_promotes_and_the_endpoint_swaps_without_a_failed_request(
    finished: tuple[Path, dict[str, Any], str],
) -> None:
    summary = finished[1]
    assert summary["gate"]["decision"] == "promote"
    assert (summary["champion"]["before"], summary["champion"]["after"]) == ("1", "2")
    assert summary["swap"]["failed_requests"] == 0
    assert summary["requests"]["failed"] == 0
    assert set(summary["requests"]["by_version"]) == {"1", "2"}
    assert summary["dice"]["after"]["B"]["disc"] > summary["dice"]["before"]["B"]["disc"] + 0.05


def test_the_alarm_travels_through_alertmanager_where_it_is_installed(
    finished: tuple[Path, dict[str, Any], str],
) -> None:
    from shutil import which

    installed = which("prometheus") and which("prometheus-alertmanager")
    assert finished[1]["trigger_path"] == ("alertmanager" if installed else "monitor")


def test_the_pages_to_believe_are_there(finished: tuple[Path, dict[str, Any], str]) -> None:
    out, _, printed = finished
    assert "<html" in (out / "report.html").read_text()
    assert "<svg" in (out / "console.svg").read_text()
    assert "ALARM" in printed


def test_nothing_runs_afterwards(finished: tuple[Path, dict[str, Any], str]) -> None:
    mark = str(finished[0])
    left = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        words = [*(process.info["cmdline"] or ()), *(process.info["environ"] or {}).values()]
        if any(mark in word for word in words):
            left.append(process.info["cmdline"])
    assert not left
