"""Cells that were run are not run again, a stopped study goes on, and what is written is whole."""

import csv
import json
from pathlib import Path

import pytest
from studies_kit import Toy

from parfocal.core import manifest
from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.reporting import Silent
from parfocal.core.untracked import UntrackedRun
from parfocal.studies import output, running, study_cell, study_cells, tabulate
from parfocal.studies.running import StudyConfig

CONFIG = StudyConfig(scale="smoke")


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The phantoms of all tests here: the toy's own cells are told apart by their name."""
    return tmp_path_factory.mktemp("state")


def named(study: Toy, name: str) -> Toy:
    study.name = name
    return study


def run(study: Toy, out: Path, state: Path, config: StudyConfig = CONFIG) -> output.Result:
    return running.run(config, out, state=state, reporter=Silent(), study=study)[1]


def test_a_second_call_runs_no_cell_and_says_the_same(tmp_path: Path, state: Path) -> None:
    study = named(Toy(tmp_path / "log"), "twice")
    first = run(study, tmp_path / "one", state)
    assert study.ran() == ["ours, seed 0", "part", "theirs, seed 0"]
    second = run(study, tmp_path / "two", state)
    assert len(study.ran()) == 3
    assert first.tables == second.tables


def test_a_stopped_study_goes_on_and_keeps_the_checkpoints_of_the_cell_that_was_running(
    tmp_path: Path, state: Path
) -> None:
    study = named(Toy(tmp_path / "log", fails="theirs, seed 0"), "stopped")
    with pytest.raises(KeyboardInterrupt):
        run(study, tmp_path / "out", state)
    assert not (tmp_path / "out").exists()
    assert list((state / "studies" / "stopped" / "work").glob("*/half"))
    study.fails = ""
    run(study, tmp_path / "out", state)
    assert study.ran() == ["ours, seed 0", "part", "theirs, seed 0"]
    assert not list((state / "studies" / "stopped" / "work").iterdir())


def test_more_seeds_run_only_what_is_new(tmp_path: Path, state: Path) -> None:
    study = named(Toy(tmp_path / "log"), "seeds")
    run(study, tmp_path / "one", state)
    run(study, tmp_path / "two", state, StudyConfig(scale="smoke", seeds=2))
    assert study.ran()[3:] == ["ours, seed 1", "theirs, seed 1"]


def test_a_cell_that_was_edited_is_refused(tmp_path: Path, state: Path) -> None:
    study = named(Toy(tmp_path / "log"), "edited")
    run(study, tmp_path / "one", state)
    rows = next((state / "studies" / "edited").glob("*/rows.json"))
    rows.write_text(rows.read_text().replace("0.8", "0.99"))
    with pytest.raises(DataContractError, match="changed since it was sealed"):
        run(study, tmp_path / "two", state)


def test_what_is_written_is_sealed_and_has_ours_beside_the_papers(tmp_path: Path, state: Path) -> None:
    out = tmp_path / "out"
    result = run(named(Toy(tmp_path / "log"), "written"), out, state)
    assert manifest.verify(out).kind == "study"
    lines = list(csv.DictReader((out / "dice.csv").open()))
    assert [float(line["ours"]) for line in lines] == pytest.approx([0.9, 0.6])
    assert float(lines[0]["low"]) < 0.9 < float(lines[0]["high"])
    assert {line["paper"] for line in lines} == {"0.75"}
    text = (out / "summary.md").read_text()
    assert "0.750" in text and "everything" in text and "Simulated images" in text and "A note." in text
    page = (out / "report.html").read_text()
    assert "<svg" in page and 'src="' not in page and 'href="http' not in page
    assert json.loads((out / "study.json").read_text())["seeds"] == 1
    assert [row.arm for row in output.read_scores(out)] == ["ours"] * 3 + ["theirs"] * 3
    assert result.phantoms == ("camera first",)


def test_a_pipelines_steps_give_the_tables_of_one_process(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = named(Toy(tmp_path / "log"), "pipeline")
    monkeypatch.setattr(running, "load", lambda name: study)
    texts = study_cells.run(CONFIG, state=state, reporter=Silent())
    folders = [tmp_path / f"cell-{i}" for i in range(len(texts))]
    for text, folder in zip(texts, folders, strict=True):
        study_cell.run(text, folder, CONFIG, state=state, reporter=Silent())
    shown = {"report.html": str(tmp_path / "page"), "summary.md": str(tmp_path / "text")}
    tabulate.run(folders, tmp_path / "all", CONFIG, state=state, run=UntrackedRun(), reporter=Silent(), shown=shown)
    run(study, tmp_path / "one", state)
    assert (tmp_path / "all" / "dice.csv").read_text() == (tmp_path / "one" / "dice.csv").read_text()
    assert (tmp_path / "page").read_text() == (tmp_path / "all" / "report.html").read_text()
    assert len(study.ran()) == 3


def test_an_output_that_is_there_is_refused_before_any_work(tmp_path: Path, state: Path) -> None:
    (tmp_path / "mine").touch()
    study = named(Toy(tmp_path / "log"), "refused")
    with pytest.raises(UsageError, match="already there"):
        run(study, tmp_path, state)
    assert study.ran() == []


def test_data_without_the_structure_leave_nothing(tmp_path: Path, state: Path) -> None:
    study = named(Toy(tmp_path / "log"), "lacking")
    study.cells = lambda scale, seeds: tuple(  # type: ignore[method-assign]
        type(cell)(cell.title, cell.roles, "macula", cell.settings) for cell in Toy.cells(study, scale, seeds)
    )
    with pytest.raises(UsageError, match="leave nothing"):
        run(study, tmp_path / "out", state)
