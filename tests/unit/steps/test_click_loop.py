"""Networks that answer clicks go the whole way: judged with the truth's clicks, retrained, and judged again."""

import itertools
from pathlib import Path

import data_kit
import learning_kit
import numpy as np
import pytest
from evaluation_kit import Ledger, write_bundle
from promotion_kit import Recorder

from parfocal.augmentation.clicks import first
from parfocal.core import bundle, scores
from parfocal.core.bundle import REFERENCE
from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.scores import Evaluation
from parfocal.evaluation.frozen import frozen_cases
from parfocal.evaluation.metrics import dice
from parfocal.inference.clicked import ClickedCascade
from parfocal.inference.interactive import InteractivePredictor
from parfocal.inference.runtimes import network_input
from parfocal.promotion import gate
from parfocal.steps import clicking, evaluate

CLICKED = ("train.objective.name=interact", "train.objective.sigma=3", "train.objective.max_clicks=2")
SHORT = ("train.steps=12", "train.validate_every=12", "retrain.train.steps=3", "retrain.train.validate_every=3")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A first clicked bundle of A, and the challenger that it became on B without being told what it is."""
    folder = tmp_path_factory.mktemp("clicks")
    learning_kit.first(folder, *CLICKED, *SHORT)
    learning_kit.challenge(folder, folder / "next", *SHORT)
    return folder


@pytest.fixture(scope="module")
def judged(folder: Path) -> Evaluation:
    return judge(folder, folder / "next", folder / "judged", folder / "first")


def judge(folder: Path, challenger: Path, out: Path, champion: Path | None = None) -> Evaluation:
    evaluate.run(
        challenger, out, learning_kit.config("evaluate.clicks=3", "evaluate.overlays=1"), champion=champion,
        ledger=Ledger(), run=Recorder(), reporter=data_kit.Notes(), clock=itertools.count().__next__,
    )  # fmt: skip
    return scores.read(out)


def test_every_score_is_after_one_click_on_the_innermost_point_of_the_truth(folder: Path, judged: Evaluation) -> None:
    case = next(iter(frozen_cases([folder / "b"])))
    truth, image = case.read_masks()["disc"], case.read_image()
    by_hand = InteractivePredictor(folder / "next", "disc").predict(image, [first(truth)]).mask
    (said,) = [s for s in judged.scores["challenger"] if (s.case, s.structure) == (case.case.id, "disc")]
    assert said.metrics["dice"] == dice(by_hand, truth)
    assert by_hand.any()


def test_clicks_are_counted_for_both_and_the_constant_mask_gets_none(judged: Evaluation) -> None:
    assert judged.champion is not None
    for model in ("challenger", "champion"):
        for score in judged.scores[model]:
            assert score.metrics["clicks_allowed"] == 3
            assert 1 <= score.metrics["noc85"] <= score.metrics["noc90"] <= 3
            right = score.metrics["dice"] >= 0.85
            assert not right or (score.metrics["noc85"], score.metrics["noc85_reached"]) == (1, 1)
            assert 0.3 < score.metrics["wrong"] < 1
            assert 0 <= score.metrics["corrected"] <= 1
    told = [[(s.case, s.structure, s.metrics["wrong"]) for s in judged.scores[m]] for m in ("challenger", "champion")]
    assert told[0] == told[1], "both are shown the same wrong mask"
    assert not any("noc85" in score.metrics for score in judged.scores["constant"])
    assert {score.instrument for score in judged.scores["challenger"]} == {"A", "B"}
    assert gate.decide(judged, gate.GatePolicy(), best={}).checks
    assert judged.latency_ms == {"challenger": 1000, "champion": 1000}


def test_the_report_says_that_the_clicks_were_placed_with_the_truths_help(folder: Path, judged: Evaluation) -> None:
    page, summary = ((folder / "judged" / name).read_text() for name in ("report.html", "summary.md"))
    for text in (page, summary):
        assert "with the truth&#39;s help" in text or "with the truth's help" in text
        assert "at most 3 a case" in text
        assert "NoC@85" in text
    assert page.count("<figure>") >= 4


def test_a_retrain_keeps_how_the_networks_are_asked(folder: Path) -> None:
    spec = bundle.read(folder / "next")
    assert {one.objective for one in spec.structures.values()} == {"interact"}
    assert {one.clicks.sigma for one in spec.structures.values() if one.clicks} == {3.0}
    assert spec.instruments == ("A", "B")
    assert not (folder / "next" / REFERENCE).exists()
    assert spec.structures["disc"].runtimes["openvino"].agreement >= 0.998


def test_finetune_learns_too_and_what_shows_pictures_alone_is_refused(folder: Path, tmp_path: Path) -> None:
    learning_kit.challenge(folder, tmp_path / "x", *SHORT, "retrain.strategy.name=finetune", key="ft")
    assert bundle.read(tmp_path / "x").strategy == "finetune"
    with pytest.raises(UsageError, match="important-diverse shows the network pictures alone"):
        learning_kit.challenge(folder, tmp_path / "y", "retrain.selection=important-diverse", key="y")


def test_a_clicked_model_is_not_held_against_one_that_sees_pictures_alone(folder: Path, tmp_path: Path) -> None:
    blind = write_bundle(tmp_path / "blind", {"disc": 0.5, "cup": 0.5}, folder / "a")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(DataContractError, match="of one kind"):
        from parfocal.inference import runtimes

        patch.setitem(runtimes.FAMILY._builtin, "bright", "evaluation_kit:Bright")
        judge(folder, folder / "next", tmp_path / "out", blind)
    assert not (tmp_path / "out").exists()


def test_a_click_where_the_network_does_not_look_is_spent_and_not_heard(folder: Path) -> None:
    cascade = ClickedCascade(folder / "first")
    image, truth, outer = data_kit.picture(3), np.zeros((60, 80), bool), np.zeros((60, 80), bool)
    truth[40:50, 60:70], outer[10:20, 10:20] = True, True
    rounds = cascade.rounds("cup", image, truth, outer, 2)
    assert rounds.clicks[0].object
    assert not outer[rounds.clicks[0].row, rounds.clicks[0].column]
    assert rounds.dice == (0.0, 0.0)
    assert cascade.rounds("cup", image, truth, np.zeros((60, 80), bool), 2).dice == (0.0, 0.0)
    found = cascade.predict(image, {"cup": truth})
    assert found.masks["cup"].shape == (60, 80), "a disc that nobody labelled gets no click"


def test_statistics_are_made_of_pictures_with_one_click_and_unknown_pixels_are_no_object() -> None:
    images = np.random.default_rng(0).integers(0, 255, (2, 16, 16, 3), np.uint8)
    masks = np.full((2, 16, 16), 255, np.uint8)
    masks[0, 4:9, 6:11] = 1
    seen = clicking.once(images, masks, 2.0)
    assert seen.shape == (2, 6, 16, 16)
    np.testing.assert_array_equal(seen[:, :3], network_input(images))
    assert np.unravel_index(seen[0, 3].argmax(), (16, 16)) == (6, 8)
    assert seen[0, 4].max() == seen[1, 3].max() == seen[:, 5].max() == 0
    assert seen[1, 4].max() == 1, "a background click where there is no object"
