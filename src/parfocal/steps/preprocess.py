"""An instrument's labelled images in, a dataset out: validated, split by patient for ever, cut into frames."""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from parfocal.core import bundle, manifest
from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.manifest import Manifest, Parent
from parfocal.core.protocols import Reader, Reporter, Scan
from parfocal.core.task import task
from parfocal.core.types import Case, Problem, Split
from parfocal.preprocessing import recipes, shards, split
from parfocal.preprocessing.checks import Past, contradictions, past
from parfocal.preprocessing.ingest import Left, Taken, in_order, ingest
from parfocal.preprocessing.locate import Locator
from parfocal.preprocessing.shards import Dataset
from parfocal.readers import FAMILY
from parfocal.steps import locating, preprocessed
from parfocal.steps.config import RunConfig


def run(source: Path, out: Path, config: RunConfig, *, champion: Path | None, reporter: Reporter) -> Manifest:
    """Read `source` and write a dataset to `out`.

    Args:
        source: what `config.data.reader` reads.
        out: the dataset; it must not exist.
        config: its task, data, recipe, split, static_augmentation and seed are used.
        champion: bundle folder whose datasets' patients keep their side; None for a first model.
        reporter: hears the progress, what was left out and what to look at.

    Raises:
        DataContractError: something in the source is wrong and `config.data.on_invalid` is ``refuse`` (the message
            lists every file), too few cases are left, or the champion's datasets or recipe do not fit.
        UsageError: `out` is there already, there is no such reader or task, or the instrument has no name.
    """
    source, reader = Path(source), _reader(config)
    asked, config = config, locating.named(config)
    datasets, parents, instruments = _history(champion, config)
    with manifest.new_folder(
        out, "dataset", parents=parents, seed=config.seed, config=config.model_dump(mode="json")
    ) as scratch:
        locator, origins = locating.into_dataset(config.recipe, scratch, asked, champion)
        parents += origins
        workdir = scratch / ".work"
        workdir.mkdir()
        scan = _with_unlabelled(reader.scan(source, workdir, task=config.task, instrument=config.data.instrument))
        instrument = _instrument(scan, source, config)
        earlier = past(datasets, instrument, everywhere=config.split.patients == "everywhere")
        sound, left = _ingest(scan, scratch, config, earlier, reporter, locator)
        shutil.rmtree(workdir)
        taken = [one for one in sound if preprocessed.teaches(one)]
        unlabelled = [preprocessed.unlabelled(one.entry) for one in sound if not preprocessed.teaches(one)]

        wrong = [*scan.problems, *(problem for one in left if not one.known for problem in one.problems)]
        if wrong and config.data.on_invalid == "refuse":
            raise preprocessed.refusal(wrong, source, fine=len(scan.cases) - sum(not one.known for one in left))
        first = instrument not in instruments
        quota = config.split.new_instrument if champion is not None and first else config.split.initial
        declared = scan.declared_splits or {}
        drawn = scan.drawn_splits or {}
        sides = split.sides([one.case for one in taken], earlier.known, declared, quota, config.split.key, drawn)
        locating.refuse_learned(asked, instrument, sides)
        taken, assisted = _only_training_is_assisted(taken, sides, scratch)
        rejected = [*wrong, *assisted, *(problem for one in left if one.known for problem in one.problems)]
        _enough(taken, sides, rejected, source, quota if first else None)
        dataset = preprocessed.described(
            taken, unlabelled, sides, rejected, source, config, instrument, quota, declared=bool(declared)
        )
        preprocessed.write(scratch, dataset, taken, sides, config)
    preprocessed.tell(reporter, dataset, taken, earlier)
    return manifest.read(out)


def _reader(config: RunConfig) -> Reader:
    recipes.refuse_unfit(config.recipe, task(config.task))  # before anything is read
    reader: Reader = FAMILY.load(config.data.reader)()
    return reader


def _with_unlabelled(scan: Scan) -> Scan:
    """The scan with its unlabelled cases among the others: they are looked at, copied and refused alike."""
    return replace(scan, cases=(*scan.cases, *scan.unlabelled))


def _history(champion: Path | None, config: RunConfig) -> tuple[list[Dataset], list[Parent], tuple[str, ...]]:
    """The datasets that the champion answers for, oldest first, the new dataset's parents, the known instruments."""
    if champion is None:
        return [], [], ()
    spec = bundle.read(champion)
    if spec.task != config.task:
        raise DataContractError(f"the champion is of task {spec.task}, not {config.task}", where=champion)
    if recipes.stored(spec.recipe, champion) != config.recipe:
        raise DataContractError(
            "the champion was trained with another recipe",
            where=champion,
            expected=f"recipe {spec.recipe}",
            next="use its settings; another recipe needs a first model of its own",
        )
    datasets, parents = [], [manifest.read(champion, "bundle").parent(champion)]
    for reference in spec.datasets:
        folder = Path(reference.uri)
        sealed = manifest.read(folder, "dataset")
        if sealed.checksum != reference.checksum:
            raise DataContractError(
                "this is not the dataset that the champion learned from",
                where=folder,
                expected=f"checksum {reference.checksum[:16]}…",
                next="restore it: without it, patients could change sides",
            )
        datasets.append(shards.read_dataset(folder))
        parents.append(sealed.parent(folder))
    return datasets, parents, spec.instruments


def _instrument(scan: Scan, source: Path, config: RunConfig) -> str:
    found = sorted({case.instrument for case in scan.cases})
    if len(found) > 1:
        raise DataContractError(f"cases of several instruments: {', '.join(found)}", where=source, expected="one")
    named = found[0] if found else config.data.instrument
    if not named:
        raise UsageError("the instrument has no name", expected="data.instrument, such as --instrument clinic-a")
    return named


def _ingest(
    scan: Scan, folder: Path, config: RunConfig, earlier: Past, reporter: Reporter, locator: Locator | None
) -> tuple[list[Taken], list[Left]]:
    wrong: defaultdict[Path, list[Problem]] = defaultdict(list)
    for problem in contradictions(scan, earlier):
        wrong[problem.file].append(problem)

    def work(case: Case) -> Taken | Left:
        return ingest(
            case, folder, task(config.task), config.recipe, earlier, wrong.get(case.image, ()), seed=config.seed,
            locator=locator,
        )  # fmt: skip

    taken: list[Taken] = []
    left: list[Left] = []
    for result in in_order(work, scan.cases, partial(reporter.progress, "preprocess")):
        if isinstance(result, Taken):
            taken.append(result)
        else:
            left.append(result)
    return sorted(taken, key=lambda one: one.case.id), left


def _only_training_is_assisted(
    taken: Sequence[Taken], sides: Mapping[str, Split], folder: Path
) -> tuple[list[Taken], list[Problem]]:
    """Leave out (and remove the copies of) assisted cases whose patient is not on the training side."""
    stay: list[Taken] = []
    problems: list[Problem] = []
    for one in taken:
        side = sides[one.case.patient]
        if one.case.assisted and side is not Split.TRAIN:
            reason = f"its grader saw a model's mask, and its patient is on side {side}"
            problems.append(Problem(one.case.image, reason, "such labels are for training alone"))
            for path in (one.entry.image, *one.entry.masks.values()):
                (folder / path).unlink()
        else:
            stay.append(one)
    return stay, problems


def _enough(
    taken: Iterable[Taken],
    sides: Mapping[str, Split],
    rejected: Sequence[Problem],
    source: Path,
    quota: split.Quota | None,
) -> None:
    """A first experience (with its `quota`) needs all three sides, a later one something to learn from."""
    found = Counter(sides[one.case.patient] for one in taken)
    missing = [side for side in (split.ORDER if quota else (Split.TRAIN,)) if not found[side]]
    if missing:
        fewest = f"at least {split.smallest(quota)} new patients with unassisted labels" if quota else "a new case"
        left = f"\n    {len(rejected)} files were left out:{preprocessed.listed(rejected, source)}" if rejected else ""
        raise DataContractError(
            f"{found.total()} new cases leave nothing on side {', '.join(missing)}{left}",
            where=source,
            expected=fewest,
            next="label more cases",
        )
