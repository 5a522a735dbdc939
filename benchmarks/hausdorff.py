"""How much faster is our Hausdorff distance and HD95 than SciPy's transform, a point-by-point SciPy, and MONAI?

    python benchmarks/hausdorff.py [--seconds 30] [--quick] [--cases 12] [--side 480]

The same pairs of masks for all, in turn, in one process. Each entrant gives the Hausdorff distance and HD95 of a pair;
the greatest difference from ours is printed beside it: at most 1e-5 pixels is asked of us against MONAI.
MONAI takes part where it is installed (`pip install 'parfocal[bench]'`); it needs two calls for the two numbers, and
the time of its HD95 alone is shown too.
"""

import argparse
import warnings
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

import cv2
import numpy as np
from kit.turns import in_turn, show, timed
from scipy.ndimage import binary_erosion, distance_transform_edt
from scipy.spatial.distance import cdist

from parfocal.evaluation import metrics

Pair = tuple[np.ndarray, np.ndarray]
Entrant = Callable[[np.ndarray, np.ndarray], tuple[float, float]]


def pairs(count: int, side: int) -> list[Pair]:
    """Wavy discs and the same a little otherwise, as a good prediction is; radius a twelfth to a fifth of the side."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:side, :side]

    def disc(row: float, column: float, radius: float, wave: float) -> np.ndarray:
        angle = np.arctan2(rows - row, columns - column)
        return np.hypot(rows - row, columns - column) < radius * (1 + 0.06 * np.sin(5 * angle + wave))

    made = []
    for _ in range(count):
        row, column = rng.uniform(0.3, 0.7, 2) * side
        radius, wave = rng.uniform(side / 12, side / 5), rng.uniform(0, 6)
        made.append((disc(row + 2, column - 3, radius * 1.05, wave + 1), disc(row, column, radius, wave)))
    return made


def scipy_transform(predicted: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    edges = [mask & ~binary_erosion(mask) for mask in (predicted, true)]
    there, back = distance_transform_edt(~edges[1])[edges[0]], distance_transform_edt(~edges[0])[edges[1]]
    return max(there.max(), back.max()), max(np.percentile(there, 95), np.percentile(back, 95))


def every_point(predicted: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    table = cdist(*(np.argwhere(mask & ~binary_erosion(mask)) for mask in (predicted, true)))
    there, back = table.min(1), table.min(0)
    return max(there.max(), back.max()), max(np.percentile(there, 95), np.percentile(back, 95))


def monai(hd95_only: bool) -> Entrant:
    import torch
    from monai.metrics import compute_hausdorff_distance

    def entrant(predicted: np.ndarray, true: np.ndarray) -> tuple[float, float]:
        a, b = (torch.from_numpy(mask)[None, None] for mask in (predicted, true))
        hd95 = float(compute_hausdorff_distance(a, b, include_background=True, percentile=95))
        return (np.nan if hd95_only else float(compute_hausdorff_distance(a, b, include_background=True))), hd95

    return entrant


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--quick", action="store_true", help="3 pairs of a quarter of the side: shows that it runs")
    parser.add_argument("--side", type=int, default=480, help="pixels")
    values = parser.parse_args()
    if values.quick:
        values.seconds, values.cases, values.side = 2, 3, values.side // 4
    cv2.setNumThreads(1)
    warnings.simplefilter("ignore")  # MONAI's, of its own next version
    entrants: dict[str, Entrant] = {
        "ours": metrics.hausdorff,
        "SciPy, distance transform": scipy_transform,
        "SciPy, every point with every other": every_point,
    }
    if find_spec("monai"):
        entrants |= {"MONAI, both": monai(hd95_only=False), "MONAI, HD95 alone": monai(hd95_only=True)}
    cases = pairs(values.cases, values.side)
    answers = {name: np.array([entrant(*pair) for pair in cases]) for name, entrant in entrants.items()}
    off = {name: float(np.nanmax(abs(found - answers["ours"]))) for name, found in answers.items()}
    turns = {name: timed(partial(each, entrant, cases), len(cases)) for name, entrant in entrants.items()}
    measures = timed(partial(each, metrics.score_case, cases), len(cases))
    times = in_turn(turns | {"all our measures of a case": measures}, values.seconds)
    print(f"{len(cases)} pairs of {values.side} x {values.side}, Hausdorff distance and HD95, one thread of OpenCV")
    print("aim: 10 times as fast as MONAI, off by at most 1e-5 pixels")
    show(times, "ours", "ms a pair", notes={name: f"  off by {far:.1e} pixels" for name, far in off.items()})


def each(entrant: Callable[[np.ndarray, np.ndarray], object], cases: list[Pair]) -> None:
    for pair in cases:
        entrant(*pair)


if __name__ == "__main__":
    main()
