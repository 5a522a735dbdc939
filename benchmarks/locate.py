"""What finding the disc before the crop does to Dice, on the camera that was learned and on other framings of it.

    python benchmarks/locate.py                        phantoms: learns from camera A
    python benchmarks/locate.py --learn A,D            from A and D, mixed
    python benchmarks/locate.py --photographs FOLDER --others FOLDER
                                                       labelled ones: FOLDER/images/NAME.jpg, FOLDER/disc/NAME.png

A localizer is pretrained on whole, trimmed pictures; then two bundles of the same network learn the same discs in the
same steps, one from trimmed pictures and one with `recipe.locate`. Both answer pictures that neither has learned from.
Of photographs, those of the frozen test, and the same ones cropped about the disc as some public sets are (side 4 to 5
radii, centre off by up to half a radius) and laid into a dark surround 1.7 times as wide.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np

from parfocal import phantoms
from parfocal.core.reporting import Silent
from parfocal.core.types import Split
from parfocal.evaluation import metrics
from parfocal.inference.predictor import Predictor
from parfocal.phantoms import INSTRUMENTS
from parfocal.preprocessing.framing import centroid
from parfocal.preprocessing.images import decode_image, decode_mask
from parfocal.preprocessing.shards import read_dataset, read_image, read_mask
from parfocal.steps import preprocess, pretrain, train
from parfocal.steps.config import RunConfig
from parfocal.studies.learning import Untracked

FRAMINGS: dict[str, dict[str, Any]] = {
    "A": {},
    "A, wider field (80 degrees)": {"field": 80.0},
    "A, close up (24 degrees)": {"field": 24.0, "aperture": 0.9, "framing": 0.5},
}
OTHERS = ("B", "C", "D", "R")


@dataclass(frozen=True)
class Labelled:
    image: np.ndarray
    disc: np.ndarray


def simulated(camera: str, count: int) -> Iterator[Labelled]:
    for patient in range(5000, 5000 + count):
        case = phantoms.case(camera, patient, 0)
        yield Labelled(decode_image(case.encode()[1]), case.masks["disc"] > 0)


def photographs(folder: Path) -> Iterator[Labelled]:
    for file in sorted((folder / "images").iterdir()):
        mask = folder / "disc" / f"{file.stem}.png"
        if mask.exists():
            yield Labelled(decode_image(file.read_bytes()), decode_mask(mask.read_bytes()) > 0)


def cropped(found: Iterable[Labelled], rng: np.random.Generator) -> Iterator[Labelled]:
    for one in found:
        (x, y), radius = centroid(one.disc.view(np.uint8)), float(np.sqrt(one.disc.sum() / np.pi))
        half = radius * rng.uniform(2.0, 2.5)
        x, y = np.array([x, y]) + rng.uniform(-0.5, 0.5, 2) * radius
        rows = slice(max(round(y - half), 0), round(y + half))
        columns = slice(max(round(x - half), 0), round(x + half))
        yield Labelled(np.ascontiguousarray(one.image[rows, columns]), np.ascontiguousarray(one.disc[rows, columns]))


def surrounded(found: Iterable[Labelled], factor: float = 1.7) -> Iterator[Labelled]:
    for one in found:
        height, width = one.disc.shape
        rows, columns = round(height * (factor - 1) / 2), round(width * (factor - 1) / 2)
        sides = ((rows, rows), (columns, columns))
        yield Labelled(np.pad(one.image, (*sides, (0, 0))), np.pad(one.disc, sides))


def settings(asked: argparse.Namespace, *more: str) -> RunConfig:
    network = "model.depth=5", "model.width=16", "model.increment=1.4", "model.dropout=0", "model.dropout_at=none"
    learn = f"train.steps={asked.steps}", f"train.validate_every={asked.steps // 4}", "train.learning_rate=0.003"
    mild = "{rotation: 30, shift: 0.08, zoom: [0.85, 1.2], brightness: 20, contrast: 0.2}"
    seek = (
        "pretrain.objective={name: localize, radius: true}", f"pretrain.steps={2 * asked.steps}",
        f"pretrain.validate_every={asked.steps // 2}", "pretrain.learning_rate=0.003",
    )  # fmt: skip
    return RunConfig.load(
        overrides=[
            *network, *learn, *seek, f"train.augment={mild}", f"pretrain.augment={mild}", "drift.streams=[framing]",
            "static_augmentation.copies=0", *more,
        ]
    )  # fmt: skip


def learned(asked: argparse.Namespace, sources: Sequence[Path], work: Path) -> dict[str, Predictor]:
    """A bundle without and one with a locator."""
    silent: dict[str, Any] = {"run": Untracked(), "reporter": Silent()}
    found = {}
    for name, more in (("trimmed", ()), ("located", (f"recipe.locate.model={work / 'localizer'}",))):
        made = [
            (source, work / f"{name}-{place}", settings(asked, f"data.instrument={source.name}", *more))
            for place, source in enumerate(sources)
        ]
        for source, out, config in made:
            preprocess.run(source, out, config, champion=None, reporter=Silent())
        folders, config = [out for _, out, _ in made], made[0][2]
        started = time.perf_counter()
        if not more:
            pretrain.run(folders, work / "localizer", config, state=work / "state", key="localizer", **silent)
            print(f"localizer learned in {time.perf_counter() - started:.0f} s")
        out, memory = work / f"bundle-{name}", work / f"memory-{name}"
        train.run(folders, out, memory, config, state=work / "state", key=name, **silent)
        print(f"{name} bundle after {time.perf_counter() - started:.0f} s")
        found[name] = Predictor(out)
    return found


def line(label: str, found: Sequence[Labelled], predictors: dict[str, Predictor]) -> None:
    off, share, ratio, dice, taken = [], [], [], [], []
    for one in found:
        x, y = centroid(one.disc.view(np.uint8))
        radius = float(np.sqrt(one.disc.sum() / np.pi))
        share.append(radius / min(one.disc.shape))
        answers = []
        for predictor in predictors.values():
            started = time.perf_counter()
            answers.append(predictor.predict(one.image))
            taken.append(1e3 * (time.perf_counter() - started))
        at = answers[-1].located
        if at is not None:
            off.append(np.hypot(at.x - x, at.y - y) * np.array([1, 1 / radius]))
            ratio.append(at.radius / radius)
        dice.append([metrics.dice(answer.masks["disc"], one.disc) for answer in answers])
    errors, scores = np.array(off).reshape(-1, 2), np.array(dice)
    change = scores[:, 1] - scores[:, 0]
    told = " | "
    if off:
        pixels, radii = np.median(errors, axis=0)
        low, middle, high = np.percentile(ratio, [10, 50, 90])
        told = f"{pixels:.1f} px, {radii:.2f} r (90 %: {np.percentile(errors[:, 1], 90):.2f} r)"
        told += f" | {middle:.2f} ({low:.2f}-{high:.2f})"
    print(
        f"| {label} | {len(found)} | {np.mean(share):.3f} | {len(off)} | {told} | {scores[:, 0].mean():.3f}"
        f" | {scores[:, 1].mean():.3f} | {change.mean():+.3f} +- {change.std(ddof=1) / np.sqrt(len(change)):.3f}"
        f" | {np.median(taken[::2]):.1f}, {np.median(taken[1::2]):.1f} |"
    )


def heading() -> None:
    print("| pictures | n | radius / side | located | off, median | radius / true (10-90 %) | Dice trimmed | located |"
          " change | ms |")  # fmt: skip
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")


def on_phantoms(asked: argparse.Namespace, work: Path) -> None:
    cameras = dict(INSTRUMENTS)
    cameras |= {name: replace(INSTRUMENTS["A"], **other) for name, other in FRAMINGS.items()}
    INSTRUMENTS.update(cameras)  # type: ignore[attr-defined]
    sources = []
    for camera in asked.learn.split(","):
        phantoms.write(work / camera, camera, range(asked.patients), seed=0)
        for mask in (work / camera / "cup").iterdir():
            mask.unlink()
        (work / camera / "cup").rmdir()
        sources.append(work / camera)
    predictors = learned(asked, sources, work)
    heading()
    for name in (*FRAMINGS, *OTHERS):
        line(name, list(simulated(name, asked.cases)), predictors)


def on_photographs(asked: argparse.Namespace, work: Path) -> None:
    predictors = learned(asked, [asked.photographs], work)
    folder, rng = work / "trimmed-0", np.random.default_rng(0)
    held = [
        Labelled(read_image(folder, case), read_mask(folder, case, "disc") > 0)  # type: ignore[operator]
        for case in read_dataset(folder).on(Split.TEST)
    ]
    heading()
    for name, found in (
        ("frozen test", held), ("the same, cropped about the disc", list(cropped(held, rng))),
        ("the same in a dark surround", list(surrounded(held))),
    ):  # fmt: skip
        line(name, found, predictors)
    for other in asked.others:
        line(other.name, list(photographs(other)), predictors)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--learn", default="A", help="phantoms' cameras to learn from")
    parser.add_argument("--patients", type=int, default=120, help="phantoms to learn from, a camera")
    parser.add_argument("--cases", type=int, default=40, help="phantoms to answer, a framing")
    parser.add_argument(
        "--steps", type=int, default=300, help="of a bundle's training; twice as many for the localizer"
    )
    parser.add_argument("--photographs", type=Path, help="labelled photographs to learn from")
    parser.add_argument("--others", type=Path, action="append", default=[], help="to answer too; of another camera")
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    with TemporaryDirectory() as work:
        (on_phantoms if asked.photographs is None else on_photographs)(asked, Path(work))


if __name__ == "__main__":
    main()
