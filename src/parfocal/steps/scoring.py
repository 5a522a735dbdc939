"""What `evaluate` does with networks: every model on every frozen case, timed, and drawn where it is best and worst."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median

import numpy as np

from parfocal.core.bundle import Bundle
from parfocal.core.protocols import Reporter
from parfocal.core.scores import CaseScore, Evaluation
from parfocal.core.types import Split
from parfocal.evaluation import glaucoma, metrics, overlays
from parfocal.evaluation.constant import ConstantMask
from parfocal.evaluation.crossings import crossings
from parfocal.evaluation.frozen import FrozenCase
from parfocal.evaluation.metrics import Mask
from parfocal.evaluation.overlays import Picture
from parfocal.evaluation.tables import cell_names, of_cell
from parfocal.inference.predictor import Prediction
from parfocal.preprocessing.roi import mask_from_frame
from parfocal.preprocessing.shards import read_arrays, read_dataset
from parfocal.steps import neighbours
from parfocal.steps.clicking import Judged, answer, efforts

CHALLENGER, CHAMPION, CONSTANT = "challenger", "champion", "constant"
LOST = "radius lost"
"""Kind of a picture: within 10 % of the true radius with the champion, and not with the challenger."""

Constants = Mapping[tuple[str, str], ConstantMask]
"""By instrument and structure."""


def constants(folders: Sequence[Path], model: Bundle) -> Constants:
    """Of every structure of the model, by instrument; an instrument without training masks gets that of all others."""
    masks: dict[tuple[str, str], list[np.ndarray]] = {}
    instruments = {folder: read_dataset(folder).instrument for folder in folders}
    for structure in model.structures:
        for folder, instrument in instruments.items():
            arrays = read_arrays(folder, structure, Split.TRAIN)
            if arrays is not None:  # static copies change the image alone, so a case's first row has its mask
                rows = list({case: row for row, case in reversed(list(enumerate(arrays.case_ids)))}.values())
                masks.setdefault((instrument, structure), []).append(arrays.mask[rows])
    found = {}
    for structure in model.structures:
        pooled = [part for (_, name), parts in masks.items() if name == structure for part in parts]
        for instrument in dict.fromkeys(instruments.values()):
            parts = masks.get((instrument, structure), pooled)
            if parts:
                found[instrument, structure] = ConstantMask.fit(np.concatenate(parts))
    return found


def score(
    cases: Sequence[FrozenCase],
    predictors: Mapping[str, Judged],
    constants: Constants,
    reporter: Reporter,
    *,
    clicks: int = 1,
) -> dict[str, list[CaseScore]]:
    """Scores of every case by model; a model has none for a structure that it has no network for.

    Networks that answer clicks are scored after one, and counted until Dice is .85 and .90 with at most `clicks`.
    """
    found: dict[str, list[CaseScore]] = {name: [] for name in (*predictors, CONSTANT)}
    for done, (case, image, predictions) in enumerate(neighbours.predicted(cases, predictors), start=1):
        truth = case.read_masks()
        drawn = {name: prediction.masks for name, prediction in predictions.items()}
        drawn[CONSTANT] = _constant_masks(case.instrument, predictions[CHALLENGER], constants)
        for name, masks in drawn.items():
            outer = drawn[CHALLENGER] if name == CONSTANT else masks  # the constant cup lies in the challenger's disc
            took = {} if name == CONSTANT else efforts(predictors[name], image, truth, predictions[name], clicks)
            found[name] += _case_scores(case, masks, outer, truth, drawn[CHALLENGER].keys(), took)
        reporter.progress("evaluate", done, len(cases))
    return found


def _constant_masks(instrument: str, prediction: Prediction, constants: Constants) -> dict[str, Mask]:
    """The constant masks, each in the box where the challenger looks for the structure; empty where it does not."""
    masks = {}
    for structure, mask in prediction.masks.items():
        box, constant = prediction.boxes[structure], constants.get((instrument, structure))
        if box is None or constant is None:
            masks[structure] = np.zeros(mask.shape, np.bool_)
        else:
            masks[structure] = mask_from_frame(constant.mask, box, *mask.shape) >= 0.5
    return masks


def _case_scores(
    case: FrozenCase,
    masks: Mapping[str, Mask],
    outer: Mapping[str, Mask],
    truth: Mapping[str, Mask],
    judged: Iterable[str],
    more: Mapping[str, Mapping[str, float]],
) -> list[CaseScore]:
    """One model's scores on one case: the structures that are labelled, judged, and known to the model.

    `more` by structure goes beside them.
    """
    found = []
    for structure in (name for name in judged if name in truth and name in masks):
        measured = metrics.score_case(masks[structure], truth[structure], case.case.spacing)
        if structure == "cup":
            measured |= glaucoma.score_ratios({**outer, structure: masks[structure]}, truth)
        found.append(
            CaseScore(
                instrument=case.instrument,
                structure=structure,
                case=case.case.id,
                patient=case.case.patient,
                metrics={**measured, **more.get(structure, {})},
            )
        )
    return found


def latency(
    cases: Sequence[FrozenCase], predictors: Mapping[str, Judged], images: int, clock: Callable[[], float]
) -> dict[str, float]:
    """Median milliseconds of one decoded photograph through the cascade; the models in turn, as machines have moods.

    Of a model that sees neighbouring slices: a volume's milliseconds, a slice.
    """
    chosen = np.unique(np.linspace(0, len(cases) - 1, min(images, len(cases))).round().astype(int))
    times: dict[str, list[float]] = {name: [] for name in predictors}
    for place in chosen:
        image, truth = cases[place].read_image(), cases[place].read_masks()
        for name, predictor in predictors.items():
            slices = neighbours.volume_of(cases[place], cases) if predictor.bundle.stacked else ()
            pixels = [one.read_image() for one in slices]
            started = clock()
            if slices:
                neighbours.predictions(slices, pixels, predictor)
            else:
                answer(predictor, cases[place], image, truth)
            times[name].append(1000 * (clock() - started) / max(1, len(slices)))
    return {name: median(values) for name, values in times.items()}


def pictures(
    evaluation: Evaluation, cases: Sequence[FrozenCase], predictors: Mapping[str, Judged], count: int
) -> list[Picture]:
    """The worst and the best `count` cases of every cell, and up to three times as many whose radius was within 10 %
    with the champion and is not now; drawn again, since the masks of all would not fit into memory."""
    by_place = {(case.instrument, case.case.id): case for case in cases}
    dice = {
        (name, score.instrument, score.structure, score.case): score.metrics["dice"]
        for name, values in evaluation.scores.items()
        for score in values
    }
    pictures = []
    crossed = {(cell.instrument, cell.structure): cell.lost for cell in crossings(evaluation)}
    for instrument, structure in cell_names(evaluation):
        own = of_cell(evaluation.scores[CHALLENGER], instrument, structure)
        ranked = sorted(own, key=lambda score: score.metrics["dice"])
        worst, rest = ranked[:count], ranked[count:]
        shown = [("worst", score.case) for score in worst] + [
            ("best", s.case) for s in reversed(rest[-count:] if count else [])
        ]
        shown += [(LOST, one.case) for one in crossed.get((instrument, structure), ())[: 3 * count]]
        for kind, name in shown:
            case = by_place[instrument, name]
            image, masks = case.read_image(), {"truth": case.read_masks()[structure]}
            for model in (CHALLENGER, CHAMPION) if kind != "best" else (CHALLENGER,):
                if (model, instrument, structure, name) in dice:
                    masks[model] = neighbours.predict(case, cases, predictors[model]).masks[structure]
            values = {m: dice[key] for m in predictors if (key := (m, instrument, structure, name)) in dice}
            pictures.append(overlays.picture(instrument, structure, kind, name, values, image, masks))
    return pictures
