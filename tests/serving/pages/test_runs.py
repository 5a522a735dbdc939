"""A retrain that is stuck, and a person who ends it: on the page, in a real browser, and by the command."""

from pathlib import Path
from typing import Any

import httpx
import pages_kit
import pytest
from click.testing import CliRunner
from monitor_kit import promote
from parfocal_serving.monitor import records
from parfocal_serving.monitor.app import build
from parfocal_serving.monitor.database import connect
from parfocal_serving.monitor.settings import MonitorSettings
from serving_kit import wait_for

from parfocal.adapters.database import SqlLedger
from parfocal.cli import parfocal
from parfocal.steps.report_end import RUN_ENDED

KEY = "fundus-B-v1-aaaaaaaaaaaa"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MonitorSettings:
    """A monitor whose one retrain runs at a Kubeflow that does not answer any more."""
    monkeypatch.setenv("PARFOCAL_KFP_HOST", "http://127.0.0.1:9")
    monkeypatch.setenv("PARFOCAL_KFP_NAMESPACE", "clinic")
    promote(tmp_path)
    made = MonitorSettings(state=tmp_path, launcher="kubeflow", trigger_path="monitor", open=True, database_url="")
    database = connect(made.monitor_database)
    with database.write() as connection:
        run = records.RunRecord(KEY, "fundus", "B", 1, "p.yaml", {}, 1.0, "pending", "run-1", launched=2.0)
        records.begin(connection, run)
    database.close()
    body = {
        "pipeline": "parfocal-fleet",
        "key": "by-hand",
        "state": "failed",
        "run": "j",
        "error": "no <b>such</b> folder",
    }
    SqlLedger(made.ledger_url).append(RUN_ENDED, "fundus", "by-hand", body)
    return made


def test_a_stuck_retrain_is_abandoned_on_the_page_and_started_again_by_the_command(settings: MonitorSettings) -> None:
    with pages_kit.serving(build(settings)) as url, pages_kit.chromium() as browser:
        page, asked = browser.new_page(), []

        def answer(dialog: Any) -> None:
            asked.append(dialog.message)
            dialog.accept("Ada" if "Who" in dialog.message else "stuck since Monday")

        page.on("dialog", answer)
        page.goto(url)
        page.get_by_text("no <b>such</b> folder").wait_for()
        page.get_by_role("button", name="abandon").click()
        page.get_by_role("cell", name="abandoned by Ada: stuck since Monday").first.wait_for()
        page.get_by_role("button", name="start again").wait_for()
        assert asked == ["Who says so?", f"Why abandon {KEY}? It is kept, with the name Ada."]

        def state() -> tuple[str, str]:
            (run,) = httpx.get(f"{url}/api/state").json()["runs"]
            return run["state"], run["error"]

        assert state() == ("cancelled", "abandoned by Ada: stuck since Monday")
        signed = ["--url", url, "--by", "Bob", "--reason", "it is back"]
        refused = CliRunner().invoke(parfocal, ["monitor", "abandon", KEY, *signed])
        assert "no such run that goes on" in str(refused.exception)
        done = CliRunner().invoke(parfocal, ["monitor", "retry", KEY, *signed])
        assert done.exit_code == 0, done.output
        wait_for(lambda: state()[0] == "failed")  # nobody has handed in cases
        assert "started again by Bob: it is back" in httpx.get(f"{url}/api/state").text
        samples = httpx.get(f"{url}/metrics").text
        assert 'parfocal_retrain_failed{instrument="B",task="fundus"} 1.0' in samples
