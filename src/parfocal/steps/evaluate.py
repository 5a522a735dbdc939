"""A bundle in, its scores out: as it will answer, beside its rivals, on every frozen test case of every instrument."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from parfocal.core import manifest, scores
from parfocal.core.bundle import Bundle, DatasetRef
from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.manifest import Manifest
from parfocal.core.protocols import Ledger, LedgerEntry, Reporter, Run
from parfocal.core.scores import Evaluation, MatrixRow
from parfocal.evaluation import figures, report
from parfocal.evaluation.frozen import FrozenCase, frozen_cases, frozen_test
from parfocal.evaluation.tables import CellTable, mean_dice, tables
from parfocal.inference.runtimes import NATIVE, member_of
from parfocal.preprocessing.shards import read_dataset
from parfocal.promotion.evidence import uses
from parfocal.promotion.ledger import PROMOTION
from parfocal.steps import clicking, scoring
from parfocal.steps.clicking import Judged
from parfocal.steps.config import RunConfig
from parfocal.steps.scoring import CHALLENGER, CHAMPION


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
    """Score `challenger`, and `champion` if there is one, and write scores.json, report.html and summary.md to `out`.

    The test cases are those of all datasets that either bundle answers for: who replaces a champion answers for its
    instruments too. Predictions come from the exported networks with predicted boxes, in source pixels. The constant
    mask of an instrument is made of its own training masks and laid into the frame that the challenger looks at, which
    makes it as strong as such a rival can be. Masks that nobody drew are left out. Networks that answer clicks get one
    click a structure, on the innermost point of the truth (`clicking`), and are counted until they are right.

    Args:
        config: its evaluate section, and the gate's level and seed, so that both show the same intervals.
        ledger: knows how often a test set was used, and the rows of R of earlier champions.
        clock: seconds, for the latency.

    Raises:
        DataContractError: a bundle or a dataset is not what was sealed, or there is nothing to score.
        UsageError: a precision is asked for by name.
    """
    paths = {CHALLENGER: challenger, **({CHAMPION: champion} if champion else {})}
    predictors = {name: clicking.opened(path, config.evaluate.runtime) for name, path in paths.items()}
    for predictor in predictors.values():
        _refuse_unmeasured(predictor)
    sealed = {name: manifest.read(path, "bundle") for name, path in paths.items()}
    models = {name: predictor.bundle for name, predictor in predictors.items()}
    _same_task(models, config)
    clicking.refuse_unlike(models)
    folders = _datasets(models)
    cases = _cases(folders, models[CHALLENGER], challenger)
    constants = scoring.constants(folders, models[CHALLENGER])
    found = scoring.score(cases, predictors, constants, reporter, clicks=config.evaluate.clicks)
    entries = ledger.entries(config.task)
    rows = {
        name: MatrixRow(model=sealed[name].checksum, learned=model.instruments[-1], dice=mean_dice(found[name]))
        for name, model in models.items()
    }
    evaluation = Evaluation(
        task=config.task,
        challenger=sealed[CHALLENGER].checksum,
        champion=sealed[CHAMPION].checksum if champion else None,
        new_instrument=models[CHALLENGER].instruments[-1],
        scores={name: tuple(values) for name, values in found.items()},
        tests=_tests(cases, entries),
        latency_ms=scoring.latency(cases, predictors, config.evaluate.latency_images, clock),
        agreement=_agreement(predictors[CHALLENGER]),
        runtime=", ".join(dict.fromkeys(predictors[CHALLENGER].runtimes.values())),
        matrix=_matrix(rows, entries),
    )
    cells = tables(
        evaluation,
        level=config.gate.level,
        seed=config.gate.seed,
        resamples=config.evaluate.resamples,
        method=config.gate.interval,
    )
    pictures = scoring.pictures(evaluation, cases, predictors, config.evaluate.overlays)
    parents = [sealed[name].parent(path) for name, path in paths.items()]
    parents += [manifest.read(folder).parent(folder) for folder in folders]
    with manifest.new_folder(out, "evaluation", parents=parents, config=config.model_dump(mode="json")) as scratch:
        (scratch / scores.EVALUATION).write_text(evaluation.model_dump_json(indent=1) + "\n")
        (scratch / "report.html").write_text(report.render(evaluation, cells, pictures, _remarks(folders)))
        (scratch / "summary.md").write_text(report.markdown(evaluation, cells))
    _log(evaluation, cells, out, folders, config, run)
    for cell in cells:
        reporter.note(report.sentence(cell))
    return manifest.read(out)


def _same_task(models: Mapping[str, Bundle], config: RunConfig) -> None:
    for name, model in models.items():
        if model.task != config.task:
            raise DataContractError(
                f"the {name} is of task {model.task}", expected=config.task, next=f"--set task={model.task}"
            )


def _datasets(models: Mapping[str, Bundle]) -> list[Path]:
    """The folders of all datasets of all bundles, each once and verified, the challenger's first."""
    references: dict[str, DatasetRef] = {}
    for model in models.values():
        for reference in model.datasets:
            references.setdefault(reference.checksum, reference)
    folders = []
    for reference in references.values():
        folder = Path(reference.uri)
        if manifest.verify(folder, "dataset").checksum != reference.checksum:
            raise DataContractError(
                f"this is not the dataset of {reference.instrument} that the bundle answers for",
                where=folder,
                expected=f"checksum {reference.checksum[:16]}…",
                next="put the sealed dataset back in its place",
            )
        folders.append(folder)
    return folders


def _cases(folders: Sequence[Path], model: Bundle, where: Path) -> list[FrozenCase]:
    cases = [case for case in frozen_cases(folders) if case.masks.keys() & model.structures.keys()]
    if not cases:
        raise DataContractError(
            "no dataset of this bundle has a labelled test case",
            where=where,
            next="preprocess more labelled cases; a quarter of the patients go to the test side",
        )
    return cases


def _tests(cases: Sequence[FrozenCase], entries: Sequence[LedgerEntry]) -> dict[str, scores.FrozenTest]:
    tests = {}
    for instrument in dict.fromkeys(case.instrument for case in cases):
        test = frozen_test([case for case in cases if case.instrument == instrument], uses=0)
        tests[instrument] = test.model_copy(update={"uses": uses(entries, instrument, test.checksum)})
    return tests


def _refuse_unmeasured(predictor: Judged) -> None:
    """What is judged is what will answer, whose agreement with the weights was measured in its own precision alone.

    Raises:
        UsageError: another precision is asked for by name.
    """
    for runtime in predictor.runtimes.values():
        if member_of(runtime) != runtime:
            raise UsageError(
                f"nobody has measured how {runtime} agrees with the weights",
                where="evaluate.runtime, or PARFOCAL_RUNTIME",
                next=f"judge with {member_of(runtime)}, which takes each export's own precision",
            )


def _agreement(predictor: Judged) -> dict[str, float]:
    """Of what answers with the trained weights, by structure; the weights agree with themselves."""
    return {
        name: 1.0 if predictor.runtimes[name] == NATIVE else model.runtimes[predictor.runtimes[name]].agreement
        for name, model in predictor.bundle.structures.items()
    }


def _matrix(rows: Mapping[str, MatrixRow], entries: Sequence[LedgerEntry]) -> tuple[MatrixRow, ...]:
    """R: the champions that led to the present one as the ledger has them, then what was measured now.

    A champion that was rolled back is no ancestor: whoever came after it began from the one before it.
    """
    if CHAMPION not in rows:
        return (rows[CHALLENGER],)
    promoted = {entry.body["checksum"]: entry.body for entry in entries if entry.kind == PROMOTION}
    earlier: list[MatrixRow] = []
    body, seen = promoted.get(rows[CHAMPION].model), {rows[CHAMPION].model, rows[CHALLENGER].model}
    champion = rows[CHAMPION]
    if body is not None:
        champion = champion.model_copy(update={"learned": body["matrix_row"]["learned"]})
    while body is not None and (before := body["replaces"]["checksum"]) not in seen:
        seen.add(before)
        body = promoted.get(before)
        if body is not None:
            earlier.insert(0, MatrixRow.model_validate(body["matrix_row"]))
    return (*earlier, champion, rows[CHALLENGER])


def _remarks(folders: Iterable[Path]) -> list[str]:
    declared = dict.fromkeys(read.instrument for read in map(read_dataset, folders) if read.declared)
    return [f"The source of {name} named its own test cases, so they were not drawn at random." for name in declared]


def _log(
    evaluation: Evaluation,
    cells: Sequence[CellTable],
    out: Path,
    folders: Iterable[Path],
    config: RunConfig,
    run: Run,
) -> None:
    run.params(config.flat())
    for folder in folders:
        run.dataset(folder, "testing")
    values: dict[str, float | None] = {}
    for cell in cells:
        place = f"{cell.instrument}/{cell.structure}"
        for row in cell.rows:
            prefix = "" if row.model == CHALLENGER else f"{row.model}/"
            values |= {f"{prefix}{name}/{place}": spread.mean for name, spread in row.measures.items()}
            values |= {f"{prefix}rrp10/{place}": row.rrp10, f"{prefix}worst_dice/{place}": row.measures["dice"].worst}
            values[f"{prefix}skill/{place}"] = row.skill
        if cell.gain is not None:
            values |= {f"gain/{place}": cell.gain.estimate, f"gain_low/{place}": cell.gain.low}
    values |= {f"latency_ms/{model}": ms for model, ms in evaluation.latency_ms.items()}
    run.metrics({name: value for name, value in values.items() if value is not None})
    for name, figure in (("paired", figures.paired(evaluation)), ("distributions", figures.distributions(evaluation))):
        run.text(figure, f"figures/{name}.svg")
    run.artifact(out, "evaluation")
