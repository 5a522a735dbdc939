"""An instrument's labelled images in, a dataset out: validated, split by patient for ever, cut into frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from parfocal.core import manifest
from parfocal.core.errors import DataContractError
from parfocal.core.manifest import Manifest
from parfocal.core.protocols import Reporter
from parfocal.core.types import Problem, Split
from parfocal.preprocessing import split
from parfocal.preprocessing.checks import Past
from parfocal.preprocessing.ingest import Taken
from parfocal.preprocessing.shards import Dataset
from parfocal.steps import locating, preprocess_look, preprocessed
from parfocal.steps.config import RunConfig
from parfocal.steps.preprocess_look import History, Looked


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
    source = Path(source)
    preprocess_look.reader(config)
    asked, config = config, locating.named(config)
    history = preprocess_look.history(champion, config)
    parents = [*history.parents]
    with manifest.new_folder(
        out, "dataset", parents=parents, seed=config.seed, config=config.model_dump(mode="json")
    ) as scratch:
        locator, origins = locating.into_dataset(config.recipe, scratch, asked, champion)
        parents += origins
        looked = preprocess_look.look(source, scratch, config, history, reporter, locator)
        decided = decide(looked, scratch, source, config, asked, history)
    preprocessed.tell(reporter, *decided)
    return manifest.read(out)


def decide(
    looked: Looked, folder: Path, source: Path, config: RunConfig, asked: RunConfig, history: History
) -> tuple[Dataset, list[Taken], Past]:
    """The second half, done once over all parts: refuse or go on, deal the patients, write dataset.json and arrays.

    Args:
        looked: what is in the whole source.
        folder: the dataset that is being made; images and masks of the sound cases are in it.
        source: for messages.
        config, asked: the settings with the localizer by what it is, and as they were asked for.
        history: of the champion.

    Returns:
        What `preprocessed.tell` tells.

    Raises:
        DataContractError: see `run`.
    """
    earlier = history.past(looked.instrument, config)
    taken = [one for one in looked.sound if preprocessed.teaches(one)]
    unlabelled = [preprocessed.unlabelled(one.entry) for one in looked.sound if not preprocessed.teaches(one)]
    wrong = [*looked.problems, *_in_order(looked.broken)]
    if wrong and config.data.on_invalid == "refuse":
        raise preprocessed.refusal(wrong, source, fine=len(looked.sound) + len(looked.known))
    first = looked.instrument not in history.instruments
    quota = config.split.new_instrument if history.champion and first else config.split.initial
    cases = [one.case for one in taken]
    sides = split.sides(cases, earlier.known, looked.declared, quota, config.split.key, looked.drawn)
    locating.refuse_learned(asked, looked.instrument, sides)
    taken, assisted = _only_training_is_assisted(taken, sides, folder)
    rejected = [*wrong, *assisted, *_in_order(looked.known)]
    _enough(taken, sides, rejected, source, quota if first else None)
    dataset = preprocessed.described(
        taken, unlabelled, sides, rejected, config, looked.instrument, quota, declared=bool(looked.declared)
    )
    preprocessed.write(folder, dataset, taken, sides, config)
    return dataset, taken, earlier


def _in_order(problems: Mapping[int, Sequence[Problem]]) -> list[Problem]:
    return [problem for _, found in sorted(problems.items()) for problem in found]


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
        left = f"\n    {len(rejected)} files were left out:{preprocessed.listed(rejected)}" if rejected else ""
        raise DataContractError(
            f"{found.total()} new cases leave nothing on side {', '.join(missing)}{left}",
            where=source,
            expected=fewest,
            next="label more cases",
        )
