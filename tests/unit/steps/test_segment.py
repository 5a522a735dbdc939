"""Masks of folders as a step: what is written, what is measured, and what one bad file costs."""

import csv
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from data_kit import Notes, circle, dataset, patients, picture, write
from evaluation_kit import bright, write_bundle  # noqa: F401
from promotion_kit import Recorder

from parfocal.core import manifest
from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.types import Split
from parfocal.evaluation.metrics import dice
from parfocal.preprocessing.shards import read_dataset
from parfocal.steps import segment
from parfocal.steps.config import RunConfig
from parfocal.steps.segment import Written

pytestmark = pytest.mark.usefixtures("bright")

LEVELS = {"disc": 0.35, "cup": 0.76}


def photograph(i: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A picture whose disc has a bite that the truth has not, and a bright speck beside it; disc and cup."""
    image, disc, cup = picture(i) // 3, circle(14), circle(6)
    image[disc > 0] = 150
    image[cup > 0] = 240
    image[27:34, 24:33] = 20
    image[10:14, 12:16] = 150
    return image, disc, cup


def layout(folder: Path, names: list[str], first: int = 100) -> Path:
    for i, name in enumerate(names, first):
        image, disc, cup = photograph(i)
        write(folder / "images" / f"{name}.png", image)
        write(folder / "disc" / f"{name}.png", disc)
        write(folder / "cup" / f"{name}.png", cup)
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("segment")
    dataset(layout(folder / "source", patients(12), first=0), folder / "a", "recipe.clahe_clip=0")
    write_bundle(folder / "model", LEVELS, folder / "a")
    return folder


def draw(place: Path, out: Path, images: Path, *, run: Recorder | None = None, **asked: object) -> Written:
    config = RunConfig.parse({"segment": asked})
    return segment.run(place / "model", [images], out, config, reporter=Notes(), run=run)


def table(file: Path) -> list[dict[str, str]]:
    with file.open() as stream:
        return list(csv.DictReader(stream))


def mask(file: Path) -> np.ndarray:
    return cv2.imread(str(file), cv2.IMREAD_UNCHANGED) > 0


def test_masks_beside_pictures_measure_every_operation_on_and_off(place: Path, tmp_path: Path) -> None:
    folder = layout(tmp_path / "new", ["x", "y", "z"])
    tracked = Recorder()
    done = draw(place, tmp_path / "out", folder, run=tracked, post={"steps": ["largest", "convex"]})
    assert [case.name for case in done.cases] == ["x", "y", "z"]
    rows = {(one["structure"], one["operation"]): one for one in table(tmp_path / "out" / "postprocessing.csv")}
    convex, largest, whole = (rows["disc", name] for name in ("convex", "largest", "all of them"))
    assert (convex["in_chain"], rows["disc", "ellipse"]["in_chain"]) == ("yes", "no")
    truth = circle(14) > 0
    assert float(whole["dice_on"]) == pytest.approx(
        np.mean([dice(mask(tmp_path / "out" / f"{name}-disc.png"), truth) for name in "xyz"]), abs=1e-4
    )
    assert float(convex["change"]) > 0.01, "it mends the bite"
    assert float(largest["change"]) > 0.05, "without it the hull spans the speck"
    assert float(whole["change"]) == pytest.approx(float(whole["dice_on"]) - float(whole["dice_off"]), abs=1e-4)
    assert (whole["cases"], whole["patients"], whole["better"], whole["worse"]) == ("3", "3", "3", "0")
    cases = table(tmp_path / "out" / "cases.csv")
    assert [one["side"] for one in cases] == ["", "", ""]
    assert float(cases[0]["disc_dice"]) > float(cases[0]["disc_dice_off"])
    assert tracked.measured["dice disc"] == pytest.approx(float(whole["dice_on"]), abs=1e-4)
    assert not any("disc.png" in str(file) for file in tracked.attached), "masks stay out of the tracker"
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("<figure>") == 3
    assert "no diagnosis" in page
    assert "Post-processing on and off" in (tmp_path / "out" / "summary.md").read_text()


def test_the_tasks_own_chain_is_measured_as_it_is_served(place: Path, tmp_path: Path) -> None:
    draw(place, tmp_path / "out", layout(tmp_path / "new", ["x"]))
    rows = {(one["structure"], one["operation"]): one for one in table(tmp_path / "out" / "postprocessing.csv")}
    assert {name for (_, name), one in rows.items() if one["in_chain"] == "yes"} == {"all of them", "largest", "holes"}
    assert float(rows["disc", "largest"]["change"]) > 0


def test_pictures_that_were_learned_from_are_told_from_new_ones(place: Path, tmp_path: Path) -> None:
    done = draw(place, tmp_path / "out", place / "a")
    sides = {case.id: str(case.split) for case in read_dataset(place / "a").cases}
    assert {one["case"]: one["side"] for one in table(tmp_path / "out" / "cases.csv")} == sides
    tested = sum(side == Split.TEST for side in sides.values())
    rows = table(tmp_path / "out" / "postprocessing.csv")
    new = next(one for one in rows if "have not seen" in one["pictures"])
    learned = next(one for one in rows if "learned from" in one["pictures"])
    assert (int(new["cases"]), int(learned["cases"])) == (tested, len(sides) - tested)
    assert done.cases[0].patient == read_dataset(place / "a").cases[0].patient


def test_one_bad_picture_and_one_bad_truth_are_listed_and_nothing_else_is_lost(place: Path, tmp_path: Path) -> None:
    folder = layout(tmp_path / "new", ["x", "y", "z"])
    (folder / "images" / "y.png").write_bytes((folder / "images" / "x.png").read_bytes()[:300])
    write(folder / "cup" / "z.png", np.zeros((9, 9), np.uint8))
    done = draw(place, tmp_path / "out", folder)
    assert [case.name for case in done.cases] == ["x", "z"]
    told = json.loads((tmp_path / "out" / "problems.json").read_text())
    assert [(Path(one["file"]).name, one["reason"]) for one in told] == [
        ("y.png", "unreadable or cut short"),
        ("z.png", "not compared with: a mask of [9, 9] for a picture of [60, 80]"),
    ]
    assert (tmp_path / "out" / "z-cup.png").is_file()
    assert set(done.cases[1].measured) == {"disc"}
    assert "y.png" in (tmp_path / "out" / "report.html").read_text()
    manifest.verify(tmp_path / "out", "segmentation")
    shutil.rmtree(folder)
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "q.png").write_bytes(b"no picture")
    with pytest.raises(DataContractError, match="unreadable"):
        draw(place, tmp_path / "none", bad)
    assert not (tmp_path / "none").exists()


def test_eyes_and_persons_are_said_by_name_and_a_wrong_name_is_refused(place: Path, tmp_path: Path) -> None:
    folder = layout(tmp_path / "new", ["r", "l", "c"])
    known = [{"name": "*", "eye": "left"}, {"name": "r", "eye": "right", "person": "p"}, {"name": "l", "person": "p"}]
    done = draw(place, tmp_path / "out", folder / "images", known=known)
    rows = {one["case"]: one for one in table(tmp_path / "out" / "cases.csv")}
    assert {name: one["eye"] for name, one in rows.items()} == {"r": "right", "l": "left", "c": "left"}
    assert {name: one["asymmetry_reading"] for name, one in rows.items()} == {
        "r": "within", "l": "within", "c": "not read"
    }  # fmt: skip
    assert float(rows["r"]["rim_nasal"]) == pytest.approx(float(rows["l"]["rim_temporal"]), abs=1.5)
    assert 0.3 < float(rows["c"]["vertical_cdr"]) < 0.5
    assert not done.problems
    with pytest.raises(UsageError, match="nothing is called q"):
        draw(place, tmp_path / "none", folder / "images", known=[{"name": "q", "eye": "left"}])
    with pytest.raises(UsageError, match="p has 1 pictures"):
        draw(place, tmp_path / "none", folder / "images", known=[{"name": "c", "person": "p"}])
