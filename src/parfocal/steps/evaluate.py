"""A bundle in, its scores out: as it will be served, beside its rivals, on every frozen test case."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from parfocal.core import bundle, manifest, scores
from parfocal.core.bundle import Bundle
from parfocal.core.errors import DataContractError
from parfocal.core.manifest import Manifest
from parfocal.core.protocols import Ledger, Reporter, Run
from parfocal.core.scores import CaseScore, Evaluation, FrozenTest, MatrixRow
from parfocal.core.types import Split
from parfocal.evaluation import figures, glaucoma, metrics, report
from parfocal.evaluation.constant import ConstantMask
from parfocal.evaluation.report import Picture
from parfocal.evaluation.tables import mean_dice, of_cell, tables
from parfocal.inference.predictor import Prediction, Predictor
from parfocal.preprocessing.roi import mask_from_frame
from parfocal.preprocessing.shards import Dataset, DatasetCase, read_arrays, read_dataset, read_image, read_mask
from parfocal.steps.config import RunConfig

Masks = Mapping[str, NDArray[np.bool_]]
Constants = Mapping[tuple[str, str], ConstantMask]


@dataclass(frozen=True, slots=True)
class Frozen:
    """One test case and where it lies."""

    folder: Path
    instrument: str
    case: DatasetCase


def run(
    challenger: Path,
    out: Path,
    config: RunConfig,
    *,
    champion: Path | None,
    ledger: Ledger,
    run: Run,
    reporter: Reporter,
    clock: Callable[[], float] = time.perf_counter,
) -> Manifest:
    """Score `challenger`, and `champion` if there is one, on the test cases of every instrument the challenger knows.

    Predictions come from the exported networks with predicted regions, in source pixels. The constant mask is fitted
    for each instrument on its own training masks and put into the frame that the challenger's network sees, which
    makes it the strongest rival of its kind. Masks that nobody drew are left out.

    Raises:
        DataContractError: a bundle or a frozen test is not what was sealed, or nothing can be scored.
    """
    model = bundle.read(challenger)
    folders = [_sealed(ref) for ref in model.datasets]
    paths = {"challenger": challenger} | ({"champion": champion} if champion else {})
    predictors = {name: Predictor(path, config.evaluate.runtime) for name, path in paths.items()}
    parents = [manifest.read(path).parent(path) for path in [*paths.values(), *folders]]
    frozen = [
        Frozen(folder, dataset.instrument, case)
        for folder, dataset in ((folder, read_dataset(folder)) for folder in folders)
        for case in dataset.on(Split.TEST)
    ]
    if not frozen:
        raise DataContractError("there is no test case", where=challenger)
    found, pictures = _score(frozen, predictors, _constants(folders, model), config, reporter)
    rows = _matrix(found, model, parents[0].checksum, _champion_row(champion), ledger)
    evaluation = Evaluation(
        task=model.task,
        challenger=parents[0].checksum,
        champion=parents[1].checksum if champion else None,
        new_instrument=model.instruments[-1],
        scores={name: tuple(values) for name, values in found.items()},
        tests=_tests(frozen, folders, ledger, model.task),
        latency_ms=_latency(frozen[: config.evaluate.latency_images], predictors, clock),
        agreement={
            name: min((export.agreement for export in structure.runtimes.values()), default=1.0)
            for name, structure in model.structures.items()
        },
        runtime=", ".join(dict.fromkeys(predictors["challenger"].runtimes.values())),
        matrix=rows,
    )
    with manifest.new_folder(out, "evaluation", parents=parents, config=config.model_dump(mode="json")) as scratch:
        resamples = config.evaluate.resamples
        (scratch / scores.EVALUATION).write_text(evaluation.model_dump_json(indent=1))
        (scratch / "report.html").write_text(report.render(evaluation, pictures, resamples=resamples))
        (scratch / "summary.md").write_text(report.markdown(evaluation, resamples=resamples))
    _log(evaluation, out, folders, run)
    return manifest.read(out)


def _sealed(ref: bundle.DatasetRef) -> Path:
    folder = Path(ref.uri)
    if manifest.verify(folder, "dataset").checksum != ref.checksum:
        raise DataContractError(
            "this is not the dataset that the bundle answers for",
            where=folder,
            expected=f"checksum {ref.checksum[:16]}…",
        )
    return folder


def _constants(folders: Sequence[Path], model: Bundle) -> Constants:
    masks: dict[tuple[str, str], list[NDArray[np.uint8]]] = {}
    for folder in folders:
        for structure in model.structures:
            arrays = read_arrays(folder, structure, Split.TRAIN)
            if arrays is not None:
                masks.setdefault((read_dataset(folder).instrument, structure), []).append(arrays.mask)
    return {cell: ConstantMask.fit(np.concatenate(parts)) for cell, parts in masks.items()}


def _score(
    frozen: Sequence[Frozen],
    predictors: Mapping[str, Predictor],
    constants: Constants,
    config: RunConfig,
    reporter: Reporter,
) -> tuple[dict[str, list[CaseScore]], list[Picture]]:
    found: dict[str, list[CaseScore]] = {name: [] for name in (*predictors, "constant")}
    for number, test in enumerate(frozen):
        reporter.progress("evaluate", number + 1, len(frozen))
        truth = _truth(test)
        predictions = _predict(test, predictors)
        drawn: dict[str, Masks] = {name: prediction.masks for name, prediction in predictions.items()}
        drawn["constant"] = _constant_masks(test.instrument, predictions["challenger"], constants)
        for name, masks in drawn.items():
            found[name] += _case_scores(test, masks, truth)
    return found, _pictures(found, {test.case.id: test for test in frozen}, predictors, config.evaluate.overlays)


def _truth(test: Frozen) -> dict[str, NDArray[np.bool_]]:
    masks = {name: read_mask(test.folder, test.case, name) for name in test.case.masks}
    return {name: mask > 0 for name, mask in masks.items() if mask is not None}


def _predict(test: Frozen, predictors: Mapping[str, Predictor]) -> dict[str, Prediction]:
    image = read_image(test.folder, test.case)
    return {name: predictor.predict(image) for name, predictor in predictors.items()}


def _constant_masks(instrument: str, prediction: Prediction, constants: Constants) -> Masks:
    masks = {}
    for structure, mask in prediction.masks.items():
        box, constant = prediction.boxes[structure], constants.get((instrument, structure))
        masks[structure] = (
            mask_from_frame(constant.mask, box, *mask.shape) >= 0.5
            if box is not None and constant is not None
            else np.zeros(mask.shape, np.bool_)
        )
    return masks


def _case_scores(test: Frozen, masks: Masks, truth: Masks) -> list[CaseScore]:
    found = []
    for structure, true in truth.items():
        if structure not in masks:
            continue
        values = metrics.score_case(masks[structure], true, test.case.spacing)
        if structure == "cup" and "disc" in truth and "disc" in masks:
            values |= _cdr_errors(masks, truth)
        found.append(
            CaseScore(
                instrument=test.instrument,
                structure=structure,
                case=test.case.id,
                patient=test.case.patient,
                metrics=values,
            )
        )
    return found


def _cdr_errors(masks: Masks, truth: Masks) -> dict[str, float]:
    errors = {
        "cdr_error": glaucoma.cdr(masks["disc"], masks["cup"]) - glaucoma.cdr(truth["disc"], truth["cup"]),
        "vertical_cdr_error": glaucoma.vertical_cdr(masks["disc"], masks["cup"])
        - glaucoma.vertical_cdr(truth["disc"], truth["cup"]),
    }
    return {name: value for name, value in errors.items() if np.isfinite(value)}


def _pictures(
    found: Mapping[str, Sequence[CaseScore]],
    by_case: Mapping[str, Frozen],
    predictors: Mapping[str, Predictor],
    count: int,
) -> list[Picture]:
    """The best and worst cases of every cell; predicted again, for masks of all cases would fill the memory."""
    pictures = []
    for instrument, structure in dict.fromkeys((s.instrument, s.structure) for s in found["challenger"]):
        ranked = sorted(of_cell(found["challenger"], instrument, structure), key=lambda score: score.metrics["dice"])
        before = {s.case: s.metrics["dice"] for s in of_cell(found.get("champion", ()), instrument, structure)}
        shown = [("worst", score) for score in ranked[:count]]
        shown += [("best", score) for score in reversed(ranked[count:][-count:])]
        for kind, score in shown:
            test = by_case[score.case]
            contours = {"truth": _truth(test)[structure]}
            contours |= {
                name: prediction.masks[structure]
                for name, prediction in _predict(test, predictors).items()
                if structure in prediction.masks
            }
            uri = figures.overlay(read_image(test.folder, test.case), contours)
            pictures.append(
                Picture(instrument, structure, kind, score.case, score.metrics["dice"], before.get(score.case), uri)
            )
    return pictures


def _champion_row(champion: Path | None) -> tuple[str, str] | None:
    """Checksum and last learned instrument of the champion."""
    if champion is None:
        return None
    return manifest.read(champion).checksum, bundle.read(champion, verify=False).instruments[-1]


def _matrix(
    found: Mapping[str, Sequence[CaseScore]],
    model: Bundle,
    checksum: str,
    champion: tuple[str, str] | None,
    ledger: Ledger,
) -> tuple[MatrixRow, ...]:
    """R: what the ledger has of earlier promotions, the champion measured now on all instruments, the challenger."""
    promoted = ledger.entries(model.task, "promotion")
    rows = {entry.body["matrix_row"]["model"]: MatrixRow.parse(entry.body["matrix_row"]) for entry in promoted}
    if champion is not None:
        rows[champion[0]] = MatrixRow(model=champion[0], learned=champion[1], dice=mean_dice(found["champion"]))
    rows.pop(checksum, None)
    newest = MatrixRow(model=checksum, learned=model.instruments[-1], dice=mean_dice(found["challenger"]))
    return (*rows.values(), newest)


def _tests(frozen: Sequence[Frozen], folders: Sequence[Path], ledger: Ledger, task: str) -> dict[str, FrozenTest]:
    decisions = ledger.entries(task, "decision")
    datasets: list[Dataset] = [read_dataset(folder) for folder in folders]
    tests = {}
    for name in dict.fromkeys(test.instrument for test in frozen):
        parts = sorted(dataset.test_checksum for dataset in datasets if dataset.instrument == name)
        checksum = hashlib.sha256("\n".join(parts).encode()).hexdigest()
        mine = [test.case for test in frozen if test.instrument == name]
        tests[name] = FrozenTest(
            checksum=checksum,
            cases=len(mine),
            patients=len({case.patient for case in mine}),
            uses=sum(entry.body.get("tests", {}).get(name) == checksum for entry in decisions),
        )
    return tests


def _latency(
    frozen: Sequence[Frozen], predictors: Mapping[str, Predictor], clock: Callable[[], float]
) -> dict[str, float]:
    """Median milliseconds of one decoded photograph through the cascade, the models in turn."""
    times: dict[str, list[float]] = {name: [] for name in predictors}
    for test in frozen:
        image = read_image(test.folder, test.case)
        for name, predictor in predictors.items():
            started = clock()
            predictor.predict(image)
            times[name].append(1000 * (clock() - started))
    return {name: median(values) for name, values in times.items()}


def _log(evaluation: Evaluation, out: Path, folders: Sequence[Path], run: Run) -> None:
    for folder in folders:
        run.dataset(folder, "testing")
    for cell in tables(evaluation, resamples=200):
        for row in cell.rows:
            name = f"{row.model}/{cell.instrument}/{cell.structure}"
            run.metrics({f"dice/{name}": row.dice, f"worst/{name}": row.worst, f"skill/{name}": row.skill})
    run.artifact(out, "evaluation")
