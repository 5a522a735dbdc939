"""How far does each click bring a proposal on a camera that no model has learned? And a picture with nothing on it?

    python benchmarks/click_corrections.py                      trains four models on phantoms of A: 15 minutes
    python benchmarks/click_corrections.py --work FOLDER                keeps them, and uses those that are there
    python benchmarks/click_corrections.py --champion BUNDLE --clicks BUNDLE     of yours, judged on phantoms of B

Three networks answer clicks. "clicks" is the demo's: half of its dialogues in training begin with a mask that is there
and wrong (`train.objective.begun`), and brightness and contrast vary widely. "empty" begins all of them with nothing,
as paper 003 does; "little tone" varies brightness and contrast by the defaults. The champion is what has learned A
alone; its masks of B's pictures are the proposals, as on the annotation page. Clicks are simulated from the truth: in
the largest error, or where nothing is there on the object's innermost point; the cup is looked for in the true disc.
The intervals are of mean differences over patients, 95 %, bootstrap.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from parfocal import phantoms
from parfocal.augmentation.clicks import Click
from parfocal.augmentation.geometric import AugmentConfig
from parfocal.cli.demo import settings
from parfocal.core.reporting import JsonLines
from parfocal.core.untracked import UntrackedRun
from parfocal.evaluation.interaction import Rounds, simulate
from parfocal.evaluation.metrics import Mask, dice
from parfocal.evaluation.statistics import paired_interval
from parfocal.inference.interactive import InteractivePredictor
from parfocal.inference.predictor import Predictor
from parfocal.phantoms.photograph import case
from parfocal.preprocessing.images import Picture
from parfocal.steps import preprocess, train
from parfocal.steps.config import RunConfig

KNOWN, NEW, FIRST = "A", "B", 50_000
"""Cameras; the first of the patients that are judged, whom nobody has trained on."""
STRUCTURES = {"disc": "", "cup": "disc"}
LITTLE = AugmentConfig().model_dump(mode="json", include={"brightness", "contrast"})


def trained(work: Path) -> dict[str, Path]:
    """Champion and the three networks, on the demo's phantoms of A with the demo's settings."""
    if not (work / "data").exists():
        phantoms.write(work / "photos", KNOWN, settings.POPULATIONS[KNOWN].labelled, seed=0)
        preprocess.run(
            work / "photos", work / "data", settings.run_config(KNOWN), champion=None, reporter=JsonLines()
        )  # fmt: skip
    clicked = settings.clicks_config(KNOWN).model_dump(mode="json")["train"]
    configs = {
        "champion": settings.run_config(KNOWN),
        "clicks": settings.clicks_config(KNOWN),
        "empty": _with(objective={**clicked["objective"], "begun": 0.0}),
        "little tone": _with(augment={**clicked["augment"], **LITTLE}),
    }
    for name, config in configs.items():
        if not (work / name).exists():
            train.run(
                [work / "data"], work / name, work / f"{name}-memory", config,
                state=work / "state", key=name, run=UntrackedRun(), reporter=JsonLines(),  # type: ignore[arg-type]
            )  # fmt: skip
    return {name: work / name for name in configs}


def _with(**changes: Any) -> RunConfig:
    """How the demo's network that answers clicks learns, but for something."""
    said = settings.clicks_config(KNOWN).model_dump(mode="json")
    return RunConfig.parse({**said, "train": {**said["train"], **changes}})


def judged(folder: Path, champion: Path, patients: int, clicks: int) -> dict[tuple[str, str], np.ndarray]:
    """Dice [patients, 1 + clicks] by structure and start, "proposal" or "nothing"; first without a click."""
    proposer = Predictor(champion)
    found: dict[tuple[str, str], list[list[float]]] = {}
    for structure, outer in STRUCTURES.items():
        predictor = InteractivePredictor(folder, structure)
        for patient in range(FIRST, FIRST + patients):
            one = case(NEW, patient, 0)
            truth, around = (one.masks[name].astype(bool) if name else None for name in (structure, outer))
            assert truth is not None
            proposal = proposer.predict(one.image, NEW).masks[structure]
            proposal = proposal if around is None else proposal & around
            for start, begun in (("proposal", proposal), ("nothing", None)):
                rounds = clicked(predictor, one.image, truth, around, clicks, begun)
                first = 0.0 if begun is None else dice(begun, truth)
                steps = [rounds.after(n) for n in range(1, clicks + 1)]
                found.setdefault((structure, start), []).append([first, *steps])
    return {key: np.array(rows) for key, rows in found.items()}


def clicked(
    predictor: InteractivePredictor, image: Picture, truth: Mask, outer: Mask | None, clicks: int, begun: Mask | None
) -> Rounds:
    """As the page asks: every click so far, and the mask that is drawn."""

    def answered(picture: Picture, made: Sequence[Click], drawn: Mask | None) -> Mask:
        return predictor.predict(picture, made, drawn, outer=outer).mask

    return simulate(answered, image, truth, clicks, begun)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="folder of what is trained here")
    parser.add_argument("--champion", type=Path, help="bundle that proposes")
    parser.add_argument("--clicks", type=Path, help="bundle that answers clicks")
    parser.add_argument("--patients", type=int, default=40)
    parser.add_argument("--most", type=int, default=6, help="clicks")
    asked = parser.parse_args()
    with TemporaryDirectory() as scratch:
        if asked.champion and asked.clicks:
            models = {"champion": asked.champion, "clicks": asked.clicks}
        else:
            models = trained(asked.work or Path(scratch))
        champion = models.pop("champion")
        show({name: judged(folder, champion, asked.patients, asked.most) for name, folder in models.items()})


def show(found: dict[str, dict[tuple[str, str], np.ndarray]]) -> None:
    ours = next(iter(found))
    most = next(iter(found[ours].values())).shape[1]
    print(f"| structure, from | trained | {' | '.join(f'{n} clicks' for n in range(most))} | least ten in a hundred |")
    print("| --- " * (most + 3) + "|")
    for key in found[ours]:
        for name, scores in found.items():
            means = " | ".join(f"{value:.3f}" for value in scores[key].mean(0))
            print(f"| {key[0]}, {key[1]} | {name} | {means} | {np.percentile(scores[key][:, -1], 10):.3f} |")
        for name in list(found)[1:]:
            shown = []
            for n in range(1, most):
                gain = paired_interval(found[ours][key][:, n] - found[name][key][:, n], level=0.95)
                shown.append(f"{gain.estimate:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})")
            print(f"| {key[0]}, {key[1]} | {ours} less {name} | | {' | '.join(shown)} | |")


if __name__ == "__main__":
    main()
