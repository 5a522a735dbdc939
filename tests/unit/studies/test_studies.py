"""Every study: its grid, what it says it cuts, and its tables from rows made up."""

from itertools import product

import pytest
from studies_kit import row, rows

from parfocal.studies import FAMILY, adversarial, architectures, instruments, limited_labels, localization
from parfocal.studies.running import load
from parfocal.studies.study import CONSTANT, SCALES, Row, Study
from parfocal.studies.tables import Table

STUDIES = sorted(FAMILY)


def line(table: Table, name: str) -> dict[str, object]:
    (found,) = [one for one in table.lines if one.name == name]
    return dict(zip(table.columns, found.entries, strict=True))


@pytest.mark.parametrize("name", STUDIES)
def test_a_grid_is_repeated_with_every_seed_and_its_cells_differ(name: str) -> None:
    study: Study = load(name)
    roles = {need.role for need in study.needs("paper")}
    for scale in SCALES:
        one, two = study.cells(scale, 1), study.cells(scale, 2)
        assert len(two) == 2 * len(one) == len({cell.to_json() for cell in two})
        assert len({cell.title for cell in two}) == len(two)
        assert {role for cell in one for role in cell.roles} == roles


@pytest.mark.parametrize("name", STUDIES)
def test_a_smaller_scale_says_what_it_cuts_and_the_papers_cuts_nothing(name: str) -> None:
    study: Study = load(name)
    assert study.name == name
    assert study.cuts("paper") == ()
    assert len(study.cuts("quick")) >= 3
    assert len(study.cuts("smoke")) >= 3


@pytest.mark.parametrize("name", STUDIES)
def test_settings_are_those_that_training_takes(name: str) -> None:
    from parfocal.models import ModelConfig
    from parfocal.steps.config import RunConfig
    from parfocal.training.config import TrainConfig

    study: Study = load(name)
    for scale in SCALES:
        for need in study.needs(scale):
            RunConfig.parse({**need.settings, "task": need.task})
        for cell in study.cells(scale, 1):
            ModelConfig.parse(cell.settings["model"])
            for part in ("train", "retrain", "pretrain"):
                TrainConfig.parse(cell.settings.get(part, {}))


def test_the_papers_numbers_are_those_of_the_full_protocol() -> None:
    (cell, *_) = load("instruments").cells("paper", 1)
    assert (cell.settings["train"]["steps"], cell.settings["train"]["batch_size"]) == (15 * 150, 120)
    assert cell.settings["retrain"]["steps"] == 3 * 150
    assert len(load("architectures").cells("paper", 1)) == 6
    assert len(load("limited-labels").cells("paper", 1)) == 14 * 4
    assert len(load("localization").cells("paper", 1)) == 10 * 5 + 1
    (unet, *_) = load("adversarial").cells("paper", 1)
    assert unet.settings["train"]["optimizer"] == "rmsprop"


def test_instruments_lay_ours_beside_tables_of_both_papers() -> None:
    made: list[Row] = []
    for place, (structure, role) in enumerate(instruments.COLUMNS):
        for arm in instruments.ARMS:
            value = 0.5 if arm == CONSTANT else 0.8 + place / 100
            made += rows(
                arm, [value, value + 0.1], structure=structure, role=role, data={"first": "A", "second": "B"}[role]
            )
    dice, close, retraining, skill = load("instruments").tables(made)
    assert dice.columns == ("disc, A", "disc, B", "cup, A", "cup, B")
    assert line(dice, "A alone")["disc, B"].paper == 0.50
    assert line(dice, "A alone")["disc, B"].value == pytest.approx(0.86)
    assert line(dice, CONSTANT)["disc, A"].value == pytest.approx(0.55)
    assert line(close, "mixed")["cup, B"].paper == 54
    after = line(retraining, "disc, A, then B")
    assert (after["A"].paper, after["B"].paper, after["worst image"].paper) == (0.89, 0.80, 0.69)
    assert after["worst image"].value == pytest.approx(0.8)
    assert line(skill, "mixed")["disc, A"].value == pytest.approx((0.85 - 0.55) / 0.45)


def test_instruments_without_cups_have_no_columns_of_cups() -> None:
    made = [row(arm, role=role, patient=i) for arm in instruments.ARMS for role in ("first", "second") for i in (0, 1)]
    assert load("instruments").tables(made)[0].columns == ("disc, A", "disc, A")


def architecture_rows(scores: dict[str, list[float]]) -> list[Row]:
    sizes = {"7/64/1.3": 14.6, "5/40/1.2": 1.1, "6/40/1.1": 0.9, "5/32/1.5": 3.5}
    return [
        one
        for name, (dice, side) in product(scores, [(None, "test"), (None, "train")])
        for one in rows(name, scores[name], side=side, x=sizes.get(name))
    ]


def test_the_smallest_ratio_is_chosen_among_the_similar() -> None:
    wave = [0.02 * (i % 3) for i in range(12)]
    scores = {
        "7/64/1.3": [0.94 + w for w in wave],
        "6/40/1.1": [0.93 + w for w in wave],
        "5/40/1.2": [0.70 + w for w in wave],
    }
    choice = architectures.choose(architecture_rows(scores))
    assert (choice.best, choice.chosen, set(choice.similar)) == ("7/64/1.3", "6/40/1.1", {"7/64/1.3", "6/40/1.1"})
    assert choice.behind["7/64/1.3"] is None


def test_what_was_not_shown_to_be_similar_is_not_chosen() -> None:
    noisy = {"7/64/1.3": [0.94] * 6, "6/40/1.1": [0.95, 0.97, 0.99, 0.98, 0.75, 0.96]}
    assert architectures.choose(architecture_rows(noisy)).chosen == "7/64/1.3"
    with pytest.raises(ValueError, match="no architecture"):
        architectures.choose([])


def test_architectures_have_train_and_test_and_the_constant_mask() -> None:
    made = architecture_rows({"6/40/1.1": [0.8, 0.9]})
    made += [one for side in ("train", "test") for one in rows(CONSTANT, [0.5, 0.6], side=side)]
    table, choice = load("architectures").tables(made)
    found = line(table, "6/40/1.1")
    assert found["Dice, test"].paper == 0.91
    assert found["million parameters"].value == 0.9
    assert line(table, CONSTANT)["million parameters"].value is None
    assert choice.lines[0].name == "6/40/1.1, chosen"


def test_adversarial_shows_the_true_distance_beside_the_quantity_that_the_paper_published() -> None:
    made = [
        one for organ in adversarial.ORGANS for arm in (*adversarial.ARMS, CONSTANT)
        for one in rows(arm, [0.8, 0.9], role=organ, data=organ, structure=organ)
    ]  # fmt: skip
    lung, gain, prostate, _ = load("adversarial").tables(made)
    found = line(lung, "LGAN")
    assert (found["IoU"].paper, found["Dice"].paper, found["row_hausdorff_legacy"].paper) == (0.9028, 0.9483, 4.84)
    assert found["Hausdorff, pixels"].paper is None
    assert found["Hausdorff, pixels"].value == 3.0
    assert line(gain, "CycleGAN")["Dice"].value == 0
    assert line(prostate, "CycleGAN")["Dice"].paper == 0.5302
    assert len(load("adversarial").tables([one for one in made if one.role == "lung"])) == 2


def test_limited_labels_have_the_papers_figures_where_it_has_them() -> None:
    made = [
        one for count in (1, 4) for arm in (*limited_labels.ARMS, CONSTANT)
        for one in rows(arm, [0.6, 0.7] if arm == "baseline" else [0.7, 0.9], role="scans", structure="bone", x=count)
    ]  # fmt: skip
    dice, gain = load("limited-labels").tables(made)
    assert line(dice, "1")["interactive"].paper == 0.588
    assert line(dice, "1")[limited_labels.BOTH].paper is None
    assert line(dice, "4")["baseline"].paper is None
    assert line(gain, "4")["pretrained"].value == pytest.approx(0.15)
    assert [one.x for one in dice.lines] == [1, 4]


def test_localization_pairs_by_patient_and_tells_the_p_value() -> None:
    less, more = [0.5, 0.6, 0.7, 0.65], [0.8, 0.85, 0.9, 0.95]
    made = [
        one for part in (100.0, 10.0)
        for arm, dice in ((localization.RANDOM, less), (localization.LOCALIZED, more), (CONSTANT, [0.3] * 4))
        for one in rows(arm, dice, role="masks", x=part)
    ]  # fmt: skip
    made += [
        row(arm, role="points").model_copy(update={"metrics": {"distance": d, "squared": d * d}})
        for arm, d in ((localization.LOCALIZER, 3.0), (CONSTANT, 9.0))
    ]
    dice, off = load("localization").tables(made)
    found = line(dice, "100")
    assert found[localization.RANDOM].paper == 0.84
    assert found["difference"].value == pytest.approx(0.2625)
    assert 0 < found["p"].value < 0.01
    assert found["p"].paper == 1.13e-2
    assert line(dice, "10")["p"].paper == 3.97e-12
    assert line(off, "localiser")["squared error"].value == 9
    assert line(off, "mean training point")["distance"].value == 9


def test_a_t_test_without_differences_says_nothing() -> None:
    import numpy as np

    assert localization.p_value(np.array([0.1])) is None
    assert localization.p_value(np.array([0.1, 0.1])) is None
