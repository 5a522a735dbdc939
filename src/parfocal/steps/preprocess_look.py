"""The first half of preprocessing, which looks at every pixel: it may be done in parts, because it decides nothing."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from parfocal.core import bundle, manifest
from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.manifest import Parent
from parfocal.core.protocols import Reader, Reporter, Scan
from parfocal.core.task import task
from parfocal.core.types import Case, Problem
from parfocal.preprocessing import recipes, sharding, shards
from parfocal.preprocessing.checks import Past, contradictions, past
from parfocal.preprocessing.ingest import Left, Taken, in_order, ingest
from parfocal.preprocessing.locate import Locator
from parfocal.preprocessing.sharding import Shard
from parfocal.preprocessing.shards import Dataset
from parfocal.readers import FAMILY
from parfocal.steps.config import RunConfig

WHOLE = Shard(1, 1)


@dataclass(frozen=True, slots=True)
class History:
    """What a champion answers for; nothing for a first model.

    Attributes:
        champion: checksum of the bundle; empty where there is none.
        datasets: oldest first.
        parents: of the new dataset.
        instruments: that the champion knows.
    """

    champion: str = ""
    datasets: tuple[Dataset, ...] = ()
    parents: tuple[Parent, ...] = ()
    instruments: tuple[str, ...] = ()

    def past(self, instrument: str, config: RunConfig) -> Past:
        return past(self.datasets, instrument, everywhere=config.split.patients == "everywhere")


@dataclass(frozen=True, slots=True, eq=False)
class Looked:
    """What was found in a source, or in one part of it. Files are named relative to the source.

    Attributes:
        instrument: of all cases.
        sound: sorted by id; the image in `case` is the source's, paths in `entry` are the dataset's.
        broken: problems of a case, by its place in the source's list.
        known: of a sound case that the champion knows with the same masks, likewise.
        problems: of files that fit no case, of the whole source.
        declared, drawn: case id to a side, of the whole source; see `Scan`.
        listing: `sharding.listing` of the whole source.
        patients: whose cases were looked at.
        cases: how many the whole source has.
    """

    instrument: str
    sound: tuple[Taken, ...]
    broken: Mapping[int, tuple[Problem, ...]]
    known: Mapping[int, tuple[Problem, ...]]
    problems: tuple[Problem, ...]
    declared: Mapping[str, str]
    drawn: Mapping[str, str]
    listing: str
    patients: frozenset[str]
    cases: int


def look(
    source: Path,
    folder: Path,
    config: RunConfig,
    history: History,
    reporter: Reporter,
    locator: Locator | None,
    shard: Shard = WHOLE,
) -> Looked:
    """Read and validate the cases of one part of `source`; copy the sound ones into `folder`.

    The whole source is listed every time, so that an image that is there twice is found in any two parts.

    Raises:
        DataContractError: the source is none for this reader.
        UsageError: there is no such reader, or the instrument has no name.
    """
    workdir = folder / ".work"
    workdir.mkdir()
    scan = reader(config).scan(source, workdir, task=config.task, instrument=config.data.instrument)
    scan = replace(scan, cases=(*scan.cases, *scan.unlabelled))  # looked at, copied and refused alike
    instrument = _instrument(scan, source, config)
    mine = sharding.patients(scan.cases, shard)
    cases = {place: case for place, case in enumerate(scan.cases) if case.patient in mine}
    results = _ingest(scan, cases, folder, config, history.past(instrument, config), reporter, locator)
    shutil.rmtree(workdir)
    problems = _named(scan.problems, source)
    left = {place: one for place, one in results.items() if isinstance(one, Left)}
    sound = [_as_in(source, one) for one in results.values() if isinstance(one, Taken)]
    return Looked(
        instrument=instrument,
        sound=tuple(sorted(sound, key=lambda one: one.case.id)),
        broken={place: _named(one.problems, source) for place, one in left.items() if not one.known},
        known={place: _named(one.problems, source) for place, one in left.items() if one.known},
        problems=problems,
        declared=dict(scan.declared_splits or {}),
        drawn=dict(scan.drawn_splits or {}),
        listing=sharding.listing(scan, problems),
        patients=mine,
        cases=len(scan.cases),
    )


def reader(config: RunConfig) -> Reader:
    """The reader of `config.data`; a recipe that is not for the task is refused before anything is read."""
    recipes.refuse_unfit(config.recipe, task(config.task))
    found: Reader = FAMILY.load(config.data.reader)()
    return found


def history(champion: Path | None, config: RunConfig) -> History:
    """What the new dataset must agree with.

    Raises:
        DataContractError: the champion's task, recipe or datasets do not fit.
    """
    if champion is None:
        return History()
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
    made = manifest.read(champion, "bundle")
    datasets, parents = [], [made.parent(champion)]
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
    return History(made.checksum, tuple(datasets), tuple(parents), spec.instruments)


def _instrument(scan: Scan, source: Path, config: RunConfig) -> str:
    found = sorted({case.instrument for case in scan.cases})
    if len(found) > 1:
        raise DataContractError(f"cases of several instruments: {', '.join(found)}", where=source, expected="one")
    named = found[0] if found else config.data.instrument
    if not named:
        raise UsageError("the instrument has no name", expected="data.instrument, such as --instrument clinic-a")
    return named


def _ingest(
    scan: Scan,
    cases: Mapping[int, Case],
    folder: Path,
    config: RunConfig,
    earlier: Past,
    reporter: Reporter,
    locator: Locator | None,
) -> dict[int, Taken | Left]:
    wrong: defaultdict[Path, list[Problem]] = defaultdict(list)
    for problem in contradictions(scan, earlier):
        wrong[problem.file].append(problem)

    def work(case: Case) -> Taken | Left:
        return ingest(
            case, folder, task(config.task), config.recipe, earlier, wrong.get(case.image, ()), seed=config.seed,
            locator=locator,
        )  # fmt: skip

    results = in_order(work, list(cases.values()), partial(reporter.progress, "preprocess"))
    return dict(zip(cases, results, strict=True))


def _as_in(source: Path, one: Taken) -> Taken:
    return replace(one, case=replace(one.case, image=_relative(one.case.image, source)))


def _named(problems: tuple[Problem, ...], source: Path) -> tuple[Problem, ...]:
    return tuple(replace(problem, file=_relative(problem.file, source)) for problem in problems)


def _relative(file: Path, source: Path) -> Path:
    return file.relative_to(source) if file.is_relative_to(source) else Path(file.name)
