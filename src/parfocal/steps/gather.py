"""All shards of one source in, the dataset out that one pod would have written: patients are dealt once over all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from parfocal.core import manifest
from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.manifest import Manifest
from parfocal.core.protocols import Reporter
from parfocal.inference.locator import FOLDER
from parfocal.steps import locating, preprocess, preprocess_look, preprocessed, sharded
from parfocal.steps.config import RunConfig
from parfocal.steps.preprocess_look import History
from parfocal.steps.sharded import ShardFile

AGAIN = "preprocess the source again, every shard with the same settings and champion"


def run(shards: Sequence[Path], out: Path, config: RunConfig, *, champion: Path | None, reporter: Reporter) -> Manifest:
    """Make the dataset of a source whose parts have been looked at.

    Args:
        shards: folders of `preprocess_shard`, all of one source, in any order.
        out: the dataset; it must not exist.
        config, champion: as the shards were made with.
        reporter: hears what was left out and what to look at.

    Raises:
        DataContractError: the shards are not the parts of one whole, or what `preprocess` says of the source.
        UsageError: `out` is there already, or no shard is named.
    """
    asked, config = config, locating.named(config)
    history = preprocess_look.history(champion, config)
    parts = _read(shards)
    _refuse_others(parts, config, history)
    _refuse_incomplete(parts)
    first = next(iter(parts))
    with manifest.new_folder(
        out, "dataset", parents=manifest.read(first).parents, seed=config.seed, config=config.model_dump(mode="json")
    ) as scratch:
        if (first / FOLDER).is_dir():
            shutil.copytree(first / FOLDER, scratch / FOLDER)
        looked = sharded.put_together(parts, scratch, config.task)
        decided = preprocess.decide(looked, scratch, first, config, asked, history)
    preprocessed.tell(reporter, *decided)
    return manifest.read(out)


def _read(shards: Sequence[Path]) -> dict[Path, ShardFile]:
    """In the order of their numbers."""
    if not shards:
        raise UsageError("no shards", expected="the folders of all parts of one source")
    read = [(Path(folder), sharded.read(Path(folder))) for folder in shards]
    return dict(sorted(read, key=lambda one: one[1].part))


def _refuse_others(parts: Mapping[Path, ShardFile], config: RunConfig, history: History) -> None:
    """Each must be of these settings and champion, and of the same source in the same state."""
    first = next(iter(parts.values()))
    programs = {folder: manifest.read(folder).code_version for folder in parts}
    for folder, part in parts.items():
        for what, found, expected in (
            ("settings", part.settings, config.digest()),
            ("champion", part.champion, history.champion),
            ("instrument", part.instrument, first.instrument),
            ("number of shards", str(part.part.of), str(first.part.of)),
            ("state of the source", part.listing, first.listing),
            ("version of the program", programs[folder], next(iter(programs.values()))),
        ):
            if found != expected:
                raise DataContractError(
                    f"shard {part.shard} was made with another {what}: {_short(found)}",
                    where=folder,
                    expected=_short(expected),
                    next=AGAIN,
                )


def _refuse_incomplete(parts: Mapping[Path, ShardFile]) -> None:
    """Every part once, and every patient in one of them."""
    of = next(iter(parts.values())).part.of
    numbers = [part.part.number for part in parts.values()]
    twice = [part.shard for part in parts.values() if numbers.count(part.part.number) > 1]
    if twice:
        raise DataContractError(f"shard {twice[0]} is there twice", where=next(iter(parts)).parent, next="name it once")
    missing = [f"{number}/{of}" for number in range(1, of + 1) if number not in numbers]
    if missing:
        raise DataContractError(
            f"{len(missing)} of {of} shards are missing: {', '.join(missing)}",
            where=next(iter(parts)).parent,
            expected=f"all {of}",
            next="run the missing ones; the others need not be run again",
        )
    owner: dict[str, Path] = {}
    for folder, patient in _patients(parts):
        if owner.setdefault(patient, folder) != folder:
            raise DataContractError(
                f"patient {patient} is in two shards: {owner[patient].name} and {folder.name}",
                where=folder,
                expected="all cases of a patient in one",
                next=AGAIN,
            )
    looked = sum(len(part.sound) + len(part.broken) + len(part.known) for part in parts.values())
    whole = next(iter(parts.values())).cases
    if looked != whole:
        raise DataContractError(f"the shards hold {looked} of {whole} cases", where=next(iter(parts)), next=AGAIN)


def _patients(parts: Mapping[Path, ShardFile]) -> Iterator[tuple[Path, str]]:
    for folder, part in parts.items():
        yield from ((folder, patient) for patient in part.patients)


def _short(value: str) -> str:
    return f"{value[:16]}…" if len(value) > 20 else value or "none"
