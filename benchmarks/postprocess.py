"""What each post-processing step does to Dice and HD95, on and off.

    python benchmarks/postprocess.py                         phantoms, with answers spoilt as networks spoil them
    python benchmarks/postprocess.py --model BUNDLE          phantoms, with a trained bundle's answers
    python benchmarks/postprocess.py --model BUNDLE --images FOLDER
                                                             labelled photographs: FOLDER/images/NAME.jpg and masks
                                                             FOLDER/disc/NAME.png, FOLDER/cup/NAME.png, 0 and 255

Every chain redraws the same answers in the same boxes, so that only the steps differ. Differences are paired, against
the default chain, with their standard error over pictures. Pictures that the bundle was trained on flatter every chain.
Spoilt answers: an outline that wanders smoothly and shrinks from vessels, often a second spot, often a hole.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from parfocal import phantoms
from parfocal.core.bundle import Bundle, StructureModel
from parfocal.core.task import task
from parfocal.evaluation import metrics
from parfocal.inference.postprocess import Chain, PostConfig, redraw
from parfocal.inference.predictor import Prediction, Predictor
from parfocal.preprocessing.fundus import FundusRecipe
from parfocal.preprocessing.images import decode_image, decode_mask
from parfocal.preprocessing.roi import mask_to_frame

DEFAULT = PostConfig().steps
CHAINS = {
    "default: largest, holes": DEFAULT,
    "nothing": (),
    "largest alone": ("largest",),
    "holes alone": ("holes",),
    "default + inside": (*DEFAULT, "inside"),
    "default + convex": (*DEFAULT, "convex"),
    "default + ellipse": (*DEFAULT, "ellipse"),
    "crf + default": ("crf", *DEFAULT),
    "crf + default + ellipse": ("crf", *DEFAULT, "ellipse"),
}
RECIPE = FundusRecipe()
SPEC = Bundle(
    task="fundus",
    structures={"disc": StructureModel(folder="disc"), "cup": StructureModel(folder="cup", inside="disc")},
    recipe=RECIPE.model_dump(),
    instruments=(),
    datasets=(),
)


@dataclass(frozen=True)
class Labelled:
    name: str
    image: np.ndarray
    masks: dict[str, np.ndarray]


def pictures(asked: argparse.Namespace) -> Iterator[Labelled]:
    if asked.images is None:
        for instrument in asked.instruments:
            for patient in range(900, 900 + asked.cases):
                case = phantoms.case(instrument, patient, 7)
                masks = {name: mask.astype(bool) for name, mask in case.masks.items()}
                yield Labelled(f"{instrument}{patient}", decode_image(case.encode()[1]), masks)
        return
    for file in sorted((asked.images / "images").iterdir())[: asked.cases]:
        masks = {}
        for part in task("fundus").structures:
            drawn = asked.images / part.name / f"{file.stem}.png"
            if drawn.exists():
                masks[part.name] = decode_mask(drawn.read_bytes()) > 0
        yield Labelled(file.stem, decode_image(file.read_bytes()), masks)


def spoilt(picture: Labelled, rng: np.random.Generator) -> Prediction:
    """The truth as a mediocre network would draw it, probabilities in its frame."""
    height, width = picture.image.shape[:2]
    masks, boxes, probabilities = {}, {}, {}
    for part in task("fundus").structures:
        truth = picture.masks.get(part.name, np.zeros((height, width), bool))
        box = RECIPE.box(part, height, width, picture.masks.get(part.inside or ""))
        masks[part.name], boxes[part.name] = truth, box
        if box is not None:
            frame = RECIPE.frame(picture.image, box)
            probabilities[part.name] = wander(mask_to_frame(truth.astype(np.uint8), box, RECIPE.size), frame, rng)
    return Prediction(masks, boxes, probabilities)


def wander(truth: np.ndarray, frame: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    size = len(truth)
    depth = cv2.distanceTransform(truth, cv2.DIST_L2, 5) - cv2.distanceTransform(1 - truth, cv2.DIST_L2, 5)
    scale = max(np.sqrt(truth.sum() / np.pi), 4) / 20  # errors grow with what is drawn
    smooth = cv2.GaussianBlur(rng.normal(size=(size, size)), (0, 0), 6 * scale + 2)
    depth = depth + 2.5 * scale * smooth / max(smooth.std(), 1e-6) + rng.normal(0, scale)
    green = frame[..., 1].astype(np.float32)
    dark = cv2.GaussianBlur(green, (0, 0), 6) - green  # vessels
    depth = depth - 3 * scale * np.clip(dark / 30, 0, 1.5)
    for chance, sign in ((0.5, 1), (0.4, -1)):
        if rng.random() < chance:
            spots = np.argwhere(truth == (sign < 0))
            row, column = spots[rng.integers(len(spots))] if len(spots) else (size // 2, size // 2)
            rows, columns = np.mgrid[:size, :size]
            bump = 5 * scale - np.hypot(rows - row, columns - column)
            depth = np.maximum(depth, bump) if sign > 0 else np.minimum(depth, -bump)
    return (1 / (1 + np.exp(-depth / (1.5 * scale)))).astype(np.float32)


def measure(spec: Bundle, answers: list[tuple[Labelled, Prediction]], recipe: FundusRecipe) -> None:
    scores: dict[tuple[str, str], list[tuple[float, float]]] = {}
    taken: dict[str, float] = {}
    for name, steps in CHAINS.items():
        chain = Chain(PostConfig(steps=steps))
        started = time.perf_counter()
        drawn = [
            redraw(found, spec, chain, lambda box, image=picture.image: recipe.frame(image, box))
            for picture, found in answers
        ]
        taken[name] = (time.perf_counter() - started) / len(answers)
        for (picture, _), masks in zip(answers, drawn, strict=True):
            for part, true in picture.masks.items():
                both = metrics.dice(masks[part], true), metrics.hausdorff(masks[part], true)[1]
                scores.setdefault((part, name), []).append(both)
    for part in spec.structures:
        base = np.array(scores.get((part, next(iter(CHAINS))), []))
        if not len(base):
            continue
        print(f"\n{part}, {len(base)} pictures             Dice    difference          HD95    difference        ms")
        for name in CHAINS:
            values = np.array(scores[part, name])
            means, change = values.mean(0), values - base
            error = change.std(0, ddof=1) / np.sqrt(len(change)) if len(change) > 1 else np.zeros(2)
            print(
                f"{name:<28} {means[0]:.4f}  {change[:, 0].mean():+.4f} +- {error[0]:.4f}"
                f"  {means[1]:8.2f}  {change[:, 1].mean():+7.2f} +- {error[1]:5.2f}  {1e3 * taken[name]:6.1f}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a bundle")
    parser.add_argument("--images", type=Path, help="labelled photographs in the folder layout")
    parser.add_argument("--instruments", default="A", help="phantoms' cameras")
    parser.add_argument("--cases", type=int, default=40, help="pictures, an instrument")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    rng = np.random.default_rng(asked.seed)
    found = list(pictures(asked))
    print(f"{len(found)} pictures of {asked.images or f'phantom cameras {asked.instruments}'}; ", end="")
    if asked.model is None:
        print("answers: the truth, spoilt; times include framing")
        measure(SPEC, [(picture, spoilt(picture, rng)) for picture in found], RECIPE)
        return
    predictor = Predictor(asked.model)
    print(f"answers of {asked.model}; times include framing")
    answers = [(picture, predictor.predict(picture.image)) for picture in found]
    measure(predictor.bundle, answers, FundusRecipe.model_validate(predictor.bundle.recipe))


if __name__ == "__main__":
    main()
