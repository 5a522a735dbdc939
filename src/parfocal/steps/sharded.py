"""The folder of one shard: what was found in a part of a source, before any patient is dealt to a side.

shard.json                      this module's `ShardFile`
images/, masks/, locator/       as they will be in the dataset
frames/<structure>.safetensors  image uint8 [N, S, S, 3] BGR, mask uint8 [N, S, S], point float64 [N, 2]: of the cases
                                in the order of shard.json

It is work in progress, so only the program that wrote it reads it.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from pydantic import Field
from safetensors.numpy import load_file, save_file

from parfocal.core import formats, manifest
from parfocal.core.config import Config
from parfocal.core.types import Case, Problem
from parfocal.preprocessing.framing import Framed
from parfocal.preprocessing.ingest import Taken
from parfocal.preprocessing.sharding import Shard
from parfocal.preprocessing.shards import DatasetCase, Rejected
from parfocal.steps.config import RunConfig
from parfocal.steps.preprocess_look import History, Looked

KIND = "shard"
FILE = "shard.json"
COPIED = ("images", "masks")


class Sound(Config):
    """A case with nothing wrong."""

    entry: DatasetCase
    file: str = Field(description="the image, relative to the source")
    frames: dict[str, int] = Field(description="how many, by structure")
    remarks: tuple[str, ...]


class ShardFile(Config):
    """Contents of shard.json."""

    schema_version: int = 1
    shard: str = Field(description="such as 2/8")
    settings: str = Field(description="digest of the run's configuration")
    champion: str = Field(description="checksum of the bundle whose patients keep their side; empty: none")
    instrument: str
    listing: str = Field(description="SHA-256 of what the whole source holds")
    cases: int = Field(description="in the whole source")
    patients: tuple[str, ...] = Field(description="whose cases are in this part")
    sound: tuple[Sound, ...] = Field(description="sorted by id")
    broken: dict[int, tuple[Rejected, ...]] = Field(description="by the case's place in the source")
    known: dict[int, tuple[Rejected, ...]] = Field(description="sound, and the champion knows them; likewise")
    problems: tuple[Rejected, ...] = Field(description="files of the whole source that fit no case")
    declared: dict[str, str]
    drawn: dict[str, str]

    @property
    def part(self) -> Shard:
        return Shard.parse(self.shard)


def write(folder: Path, looked: Looked, shard: Shard, config: RunConfig, history: History) -> None:
    """Write shard.json and the frames into a shard that is being made."""
    for structure, frames in _by_structure(looked.sound).items():
        file = folder / "frames" / f"{structure}.safetensors"
        file.parent.mkdir(exist_ok=True)
        image, mask = np.stack([frame.image for frame in frames]), np.stack([frame.mask for frame in frames])
        save_file({"image": image, "mask": mask, "point": np.array([f.point for f in frames], np.float64)}, file)
    said = ShardFile(
        shard=str(shard),
        settings=config.digest(),
        champion=history.champion,
        instrument=looked.instrument,
        listing=looked.listing,
        cases=looked.cases,
        patients=tuple(sorted(looked.patients)),
        sound=tuple(_sound(one) for one in looked.sound),
        broken={place: _rejected(found) for place, found in looked.broken.items()},
        known={place: _rejected(found) for place, found in looked.known.items()},
        problems=_rejected(looked.problems),
        declared=dict(looked.declared),
        drawn=dict(looked.drawn),
    )
    (folder / FILE).write_text(said.model_dump_json(indent=1) + "\n")


def read(folder: Path) -> ShardFile:
    """Read a sealed shard, every file of it held against its checksum.

    Raises:
        DataContractError: it is no shard, not whole, or of a later program.
    """
    manifest.verify(folder, KIND)
    return formats.read(ShardFile, folder / FILE)


def put_together(parts: Mapping[Path, ShardFile], folder: Path, task: str) -> Looked:
    """Copy the files of all parts into the dataset `folder`, and say what the whole source holds.

    Args:
        parts: all of one source; they fit.
        folder: of the dataset that is being made.
        task: of all cases.
    """
    for place in parts:
        for name in COPIED:
            if (place / name).is_dir():
                shutil.copytree(place / name, folder / name, dirs_exist_ok=True)
    first = next(iter(parts.values()))
    sound = [one for place, part in parts.items() for one in _taken(place, part, task)]
    return Looked(
        instrument=first.instrument,
        sound=tuple(sorted(sound, key=lambda one: one.case.id)),
        broken={place: _problems(found) for part in parts.values() for place, found in part.broken.items()},
        known={place: _problems(found) for part in parts.values() for place, found in part.known.items()},
        problems=_problems(first.problems),
        declared=first.declared,
        drawn=first.drawn,
        listing=first.listing,
        patients=frozenset(name for part in parts.values() for name in part.patients),
        cases=first.cases,
    )


def _by_structure(sound: Sequence[Taken]) -> dict[str, list[Framed]]:
    found: defaultdict[str, list[Framed]] = defaultdict(list)
    for one in sound:
        for structure, frames in one.frames.items():
            found[structure] += frames
    return {structure: frames for structure, frames in found.items() if frames}


def _sound(one: Taken) -> Sound:
    counts = {structure: len(frames) for structure, frames in one.frames.items()}
    return Sound(entry=one.entry, file=str(one.case.image), frames=counts, remarks=one.remarks)


def _taken(folder: Path, part: ShardFile, task: str) -> Iterator[Taken]:
    stored = {file.stem: _frames(file) for file in sorted((folder / "frames").glob("*.safetensors"))}
    for one in part.sound:
        frames = {structure: [next(stored[structure]) for _ in range(n)] for structure, n in one.frames.items()}
        yield Taken(_case(one, task, part.instrument), one.entry, frames, one.remarks)


def _frames(file: Path) -> Iterator[Framed]:
    arrays = load_file(file)
    for image, mask, (x, y) in zip(arrays["image"], arrays["mask"], arrays["point"].tolist(), strict=True):
        yield Framed(image, mask, (x, y))


def _case(one: Sound, task: str, instrument: str) -> Case:
    """As far as the second half of preprocessing asks."""
    entry = one.entry
    return Case(
        id=entry.id, task=task, instrument=instrument, patient=entry.patient, image=Path(one.file),
        masks={name: Path(file) for name, file in entry.masks.items()}, checksum=entry.checksum, points=entry.points,
        spacing=entry.spacing, grader=entry.grader, assisted=entry.assisted, slice=entry.slice,
    )  # fmt: skip


def _rejected(problems: Sequence[Problem]) -> tuple[Rejected, ...]:
    return tuple(Rejected(file=str(one.file), reason=one.reason, next=one.next) for one in problems)


def _problems(rejected: Sequence[Rejected]) -> tuple[Problem, ...]:
    return tuple(Problem(Path(one.file), one.reason, one.next) for one in rejected)
