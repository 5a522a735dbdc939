"""`parfocal study`: what a person types, and what comes of it."""

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from studies_kit import Toy

from parfocal.cli.study import _config, study
from parfocal.core.errors import UsageError
from parfocal.studies import running


def test_list_and_show_need_no_data() -> None:
    done = CliRunner().invoke(study, ["list", "--json"])
    assert {one["name"] for one in json.loads(done.output)["studies"]} >= {"instruments", "localization"}
    shown = CliRunner().invoke(study, ["show", "architectures", "--scale", "paper"])
    assert "7/64/1.3, seed 2" in shown.output
    assert "18 cells" in shown.output


def test_data_and_readers_become_the_configuration(tmp_path: Path) -> None:
    config = _config("instruments", "smoke", 2, [f"DRI={tmp_path}", "RIM=/r"], ["RIM=rimone", "drishti"])
    assert config.repetitions == 2
    assert {name: one.reader for name, one in config.data.items()} == {"DRI": "drishti", "RIM": "rimone"}
    assert running.StudyConfig.from_json(config.canonical_json()) == config


@pytest.mark.parametrize(
    ("name", "data", "readers", "says"),
    [
        ("instrument", [], [], "did you mean 'instruments'"),
        ("instruments", ["DRI"], [], "NAME=VALUE"),
        ("instruments", ["DRI=/x"], ["RIM=folder"], "RIM"),
        ("instruments", ["DRI=/x", "DRI=/y"], [], "twice"),
    ],
)
def test_a_mistake_is_told(name: str, data: list[str], readers: list[str], says: str) -> None:
    with pytest.raises(UsageError) as told:
        _config(name, "smoke", None, data, readers)
    assert says in str(told.value)


def test_run_prints_the_tables_and_writes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy = Toy(tmp_path / "log")
    monkeypatch.setattr(running, "load", lambda name: toy)
    monkeypatch.setenv("PARFOCAL_STATE", str(tmp_path / "state"))
    out = tmp_path / "out"
    done = CliRunner().invoke(
        study, ["run", "instruments", "--scale", "smoke", "--out", str(out), "--quiet"], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    assert "0.900" in done.output and "0.750" in done.output and str(out / "report.html") in done.output
    assert (out / "summary.md").exists()


def test_choose_belongs_to_architectures(tmp_path: Path) -> None:
    done = CliRunner().invoke(study, ["run", "instruments", "--choose", "--out", str(tmp_path / "o")])
    assert isinstance(done.exception, UsageError)


def test_looking_at_studies_loads_no_torch() -> None:
    import subprocess

    code = "import sys; from parfocal.cli.study import study; study(['list'], standalone_mode=False)"
    code += "; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
