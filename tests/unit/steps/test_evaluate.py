"""What is judged is what answers, on exactly the frozen tests, beside the champion and the constant mask."""

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from data_kit import Notes, circle, config, dataset, patients, picture, write
from evaluation_kit import Bright, Ledger, bright, write_bundle  # noqa: F401
from promotion_kit import Recorder

from parfocal.core import manifest, scores
from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.scores import Evaluation
from parfocal.core.types import Split
from parfocal.inference import runtimes
from parfocal.preprocessing.shards import read_dataset
from parfocal.promotion import gate
from parfocal.promotion.cells import cells
from parfocal.steps import evaluate

pytestmark = pytest.mark.usefixtures("bright")

GOOD, BLIND = {"disc": 0.35, "cup": 0.76}, {"disc": 0.99, "cup": 0.99}


def eyes(folder: Path, count: int, seed: int, *, cups: bool = True) -> Path:
    """A source whose discs and cups stand out by brightness, each disc in a place of its own."""
    rng = np.random.default_rng(seed)
    for i, name in enumerate(patients(count)):
        shift = tuple(int(v) for v in rng.integers(-8, 9, 2))
        image = picture(1000 * seed + i) // 3
        disc, cup = (np.roll(circle(radius), shift, (0, 1)) for radius in (12, 6))
        image[disc > 0] = 150
        image[cup > 0] = 240
        write(folder / "images" / f"{name}.png", image)
        write(folder / "disc" / f"{name}.png", disc)
        if cups:
            write(folder / "cup" / f"{name}.png", cup)
    return folder


PLAIN = "recipe.clahe_clip=0"  # so that brightness means the same in every frame


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dataset a, and dataset b in which nobody labelled the cup; bundles of both (new) and of a alone (old)."""
    folder = tmp_path_factory.mktemp("evaluate")
    dataset(eyes(folder / "source-a", 16, 1), folder / "a", PLAIN)
    dataset(eyes(folder / "source-b", 12, 2, cups=False), folder / "b", PLAIN, instrument="B")
    write_bundle(folder / "new", GOOD, folder / "a", folder / "b")
    write_bundle(folder / "old", GOOD, folder / "a")
    return folder


@pytest.fixture(scope="module")
def tracked() -> Recorder:
    return Recorder()


@pytest.fixture(scope="module")
def judged(bright: None, place: Path, tracked: Recorder) -> Evaluation:  # noqa: F811
    """New against old, written to `judged`."""
    return judge(place / "new", place / "judged", place / "old", "evaluate.overlays=1", run=tracked)


@pytest.fixture
def a(tmp_path: Path, place: Path) -> Path:
    """A copy of dataset a to be spoiled."""
    return Path(shutil.copytree(place / "a", tmp_path / "a"))


def judge(
    challenger: Path, out: Path, champion: Path | None = None, *overrides: str, ledger: Ledger | None = None,
    run: Recorder | None = None,
) -> Evaluation:  # fmt: skip
    evaluate.run(
        challenger,
        out,
        config(*overrides),
        champion=champion,
        ledger=ledger or Ledger(),
        run=run or Recorder(),
        reporter=Notes(),
        clock=itertools.count().__next__,
    )
    return scores.read(out)


def mean(evaluation: Evaluation, model: str, instrument: str, structure: str) -> float:
    found = [s for s in evaluation.scores[model] if (s.instrument, s.structure) == (instrument, structure)]
    return float(np.mean([s.metrics["dice"] for s in found]))


def test_every_labelled_frozen_case_is_scored_once_for_every_model(place: Path, judged: Evaluation) -> None:
    expected = {("A", s, case.id) for case in read_dataset(place / "a").on(Split.TEST) for s in ("disc", "cup")}
    expected |= {("B", "disc", case.id) for case in read_dataset(place / "b").on(Split.TEST)}
    for model in ("challenger", "champion", "constant"):
        keys = [(s.instrument, s.structure, s.case) for s in judged.scores[model]]
        assert len(keys) == len(set(keys))
        assert set(keys) == expected
    assert (judged.new_instrument, judged.runtime) == ("B", "bright")
    assert judged.agreement == {"disc": 0.9993, "cup": 0.9993}


def test_what_the_exported_networks_answer_is_scored_in_source_pixels(judged: Evaluation) -> None:
    assert mean(judged, "challenger", "A", "disc") > 0.93
    assert mean(judged, "challenger", "A", "cup") > 0.93
    truth = {s.metrics["area_true"] for s in judged.scores["challenger"] if s.structure == "disc"}
    assert truth == {np.count_nonzero(circle(12))}
    assert all(s.metrics["cdr_error"] < 0.05 for s in judged.scores["challenger"] if s.structure == "cup")


def test_the_constant_mask_sees_no_image_and_sits_in_the_frame_of_the_network(judged: Evaluation) -> None:
    discs = [s for s in judged.scores["constant"] if (s.instrument, s.structure) == ("A", "disc")]
    assert len({s.metrics["area"] for s in discs}) == 1
    assert mean(judged, "constant", "A", "disc") < 0.8, "discs wander in the photograph"
    assert mean(judged, "constant", "A", "cup") > 0.88, "every cup is in the middle of its disc"
    cups = [s for s in judged.scores["constant"] if s.structure == "cup"]
    assert all(s.metrics["cdr_error"] < 0.1 for s in cups), "its cup lies in the disc that the challenger found"


def test_a_model_that_finds_nothing_scores_nothing_and_breaks_nothing(tmp_path: Path, place: Path) -> None:
    found = judge(write_bundle(tmp_path / "x", BLIND, place / "a"), tmp_path / "out")
    for score in found.scores["challenger"]:
        assert score.metrics["dice"] == 0
        assert score.metrics["hausdorff"] == 100, "the diagonal of 60 x 80"
    cup = next(s for s in found.scores["challenger"] if s.structure == "cup")
    assert cup.metrics["cdr_error"] == cup.metrics["cdr_true"]
    assert mean(found, "constant", "A", "disc") > 0, "the disc's frame needs no prediction"
    assert mean(found, "constant", "A", "cup") == 0


def test_the_gate_can_decide_where_the_champion_lacks_a_structure(tmp_path: Path, place: Path) -> None:
    old = write_bundle(tmp_path / "y", {"disc": 0.35}, place / "a")
    found = judge(place / "new", tmp_path / "out", old)
    assert [(cell.name, cell.champion is None) for cell in cells(found)] == [
        ("cup on A", True),
        ("disc on A", False),
        ("disc on B", False),
    ]
    assert gate.decide(found, gate.GatePolicy(), best={}).checks


def test_a_challenger_is_judged_on_the_champions_instruments_too(tmp_path: Path, place: Path) -> None:
    found = judge(write_bundle(tmp_path / "x", GOOD, place / "b"), tmp_path / "out", place / "old")
    assert {s.instrument for s in found.scores["challenger"]} == {"A", "B"}


def test_r_has_the_champions_line_of_ancestors_and_measures_the_champion_again(tmp_path: Path, place: Path) -> None:
    old, new = place / "old", place / "new"
    champion = manifest.read(old).checksum
    ledger, none = Ledger(), {"version": "", "checksum": ""}
    for checksum, replaces in [("f" * 64, none), ("e" * 64, {"version": "1", "checksum": "f" * 64}),
                               (champion, {"version": "1", "checksum": "f" * 64})]:  # fmt: skip
        row = {"model": checksum, "learned": "A", "dice": {"A": {"disc": 0.5}}}
        ledger.append("promotion", "fundus", checksum, {"checksum": checksum, "replaces": replaces, "matrix_row": row})
    found = judge(new, tmp_path / "out", old, ledger=ledger)
    assert [row.model for row in found.matrix] == ["f" * 64, champion, manifest.read(new).checksum], (
        "version 2 was rolled back and is no ancestor"
    )
    assert found.matrix[0].dice == {"A": {"disc": 0.5}}
    assert found.matrix[1].learned == "A"
    assert found.matrix[1].dice["B"]["disc"] == pytest.approx(mean(found, "champion", "B", "disc"))
    assert found.matrix[2].dice["A"]["cup"] == pytest.approx(mean(found, "challenger", "A", "cup"))


def test_a_first_model_has_one_row_and_no_champion(tmp_path: Path, place: Path) -> None:
    found = judge(place / "old", tmp_path / "out")
    assert found.champion is None
    assert found.scores.keys() == {"challenger", "constant"}
    assert [row.learned for row in found.matrix] == ["A"]


def test_it_counts_how_often_exactly_these_cases_were_decided_on(tmp_path: Path, place: Path) -> None:
    data = read_dataset(place / "a")
    ledger, checksum = Ledger(), data.test_checksum
    for i, (evaluation, sum) in enumerate([("e1", checksum), ("e1", checksum), ("e2", checksum), ("e3", "other")]):
        ledger.append("decision", "fundus", str(i), {"evaluation": evaluation, "tests": {"A": sum}})
    test = judge(place / "old", tmp_path / "out", ledger=ledger).tests["A"]
    assert (test.checksum, test.uses) == (checksum, 2)
    assert test.cases == test.patients == len(data.on(Split.TEST))


@pytest.mark.parametrize("part", ["images", "masks/disc", "arrays"])
def test_a_frozen_test_that_changed_is_refused(tmp_path: Path, a: Path, part: str) -> None:
    model = write_bundle(tmp_path / "x", GOOD, a)
    file = next(iter(sorted((a / part).iterdir())))
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(DataContractError, match="has changed since it was sealed"):
        judge(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_another_dataset_in_its_place_is_refused(tmp_path: Path, place: Path, a: Path) -> None:
    model = write_bundle(tmp_path / "x", GOOD, a)
    shutil.rmtree(a)
    shutil.copytree(place / "b", a)
    with pytest.raises(DataContractError, match="not the dataset of A"):
        judge(model, tmp_path / "out")


def test_a_bundle_of_another_task_or_a_damaged_one_is_refused(tmp_path: Path, place: Path) -> None:
    with pytest.raises(DataContractError, match="the challenger is of task fundus"):
        judge(place / "new", tmp_path / "out", None, "task=lung")
    model = write_bundle(tmp_path / "x", GOOD, place / "a")
    (model / "disc" / "level.txt").write_text("0.1")
    with pytest.raises(DataContractError, match="changed"):
        judge(model, tmp_path / "out")


def test_models_are_timed_in_turn_on_the_same_photographs(judged: Evaluation) -> None:
    assert judged.latency_ms == {"challenger": 1000, "champion": 1000}, "a clock that ticks once a look"


def test_the_folder_is_whole_and_names_what_it_was_made_from(place: Path, judged: Evaluation) -> None:
    sealed = manifest.verify(place / "judged", "evaluation")
    assert sealed.files.keys() == {"scores.json", "report.html", "summary.md"}
    assert [parent.kind for parent in sealed.parents] == ["bundle", "bundle", "dataset", "dataset"]
    assert json.loads((place / "judged" / "scores.json").read_text())["challenger"] == judged.challenger


def test_the_report_shows_the_worst_with_the_champions_outline_and_the_best(place: Path, judged: Evaluation) -> None:
    page = (place / "judged" / "report.html").read_text()
    assert page.count("<figure>") == 6
    assert page.count('class="champion-line"') == 3
    assert page.count('class="truth-line"') == 6


def test_no_pictures_of_patients_when_none_are_wanted(tmp_path: Path, place: Path) -> None:
    judge(place / "old", tmp_path / "out", None, "evaluate.overlays=0")
    assert "data:image" not in (tmp_path / "out" / "report.html").read_text()


def test_the_tracked_run_gets_means_gains_and_the_report(place: Path, judged: Evaluation, tracked: Recorder) -> None:
    assert tracked.measured["dice/B/disc"] == pytest.approx(mean(judged, "challenger", "B", "disc"))
    assert tracked.measured["champion/dice/A/cup"] == pytest.approx(mean(judged, "champion", "A", "cup"))
    assert tracked.measured["gain/A/disc"] == 0
    assert np.isfinite(list(tracked.measured.values())).all()
    assert tracked.attached == [place / "judged"]


class Precise(Bright):
    """The runtime, which computes in a precision of one's choice."""

    computes = ("f32",)

    def __init__(self, folder: Path, precision: str = "") -> None:
        super().__init__(folder)


def test_a_precision_in_which_nobody_measured_agreement_is_not_judged(
    bright: None,  # noqa: F811
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(runtimes.FAMILY._builtin, "bright", f"{__name__}:Precise")
    with pytest.raises(UsageError, match=r"how bright-f32 agrees with the weights(.|\n)*judge with bright,"):
        judge(place / "new", tmp_path / "out", None, "evaluate.runtime=bright-f32")
    assert not (tmp_path / "out").exists()
