"""What does a case cost the drift detectors, and how much quicker is the exact incremental MMD than computing it anew?

    python benchmarks/drift_update.py [--seconds 30] [--quick] [--reference 500] [--window 32] [--columns 16]

One case comes into the window, one goes out, and the squared discrepancy from the reference is known again. Ours keeps
sums; the first peer computes the kernel of the window with itself and with the reference by SciPy's `cdist` (what does
not change, the reference's own kernel, is kept there too); the second does all of it, as a call of a plain two-sample
test does. The greatest difference between the answers is printed: 1e-9 is asked. Then all four streams of a case:
distance, p-value and CUSUM, one case at a time and in POSTs of 500. Where River is installed (`pip install river`), its
Page-Hinkley test takes the same normal scores as our CUSUM: another statistic, about the same work.
"""

import argparse
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import cycle

import numpy as np
from kit.turns import in_turn, show, timed
from scipy.spatial.distance import cdist

from parfocal.core.types import Observation
from parfocal.drift import mmd
from parfocal.drift.cusum import State, advance, normal_scores
from parfocal.drift.reference import DriftConfig, Reference, fit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--quick", action="store_true", help="few cases: shows that it runs")
    parser.add_argument("--reference", type=int, default=500, help="cases that a window is held against")
    parser.add_argument("--window", type=int, default=32, help="cases in a window")
    parser.add_argument("--columns", type=int, default=16, help="numbers of a case")
    values = parser.parse_args()
    seconds, count = (1.0, 20) if values.quick else (values.seconds / 3, 200)
    rng = np.random.default_rng(0)
    reference = mmd.sample(rng.normal(size=(values.reference, values.columns)))
    cases = rng.normal(size=(count + values.window, values.columns))
    entrants = {"ours": ours, "SciPy, window anew": anew, "SciPy, everything anew": everything}
    answers = {name: np.array(entrant(reference, cases, values.window)) for name, entrant in entrants.items()}
    off = {name: f"  off by {abs(found - answers['ours']).max():.1e}" for name, found in answers.items()}

    def turn(entrant: Callable[[mmd.Sample, np.ndarray, int], list[float]]) -> Callable[[], float]:
        return timed(lambda: entrant(reference, cases, values.window), count)

    print(f"a window of {values.window} against {values.reference} cases of {values.columns} numbers")
    show(in_turn({name: turn(entrant) for name, entrant in entrants.items()}, seconds), "ours", "ms a case", notes=off)
    print("\nall streams of a case: distances, p-values, CUSUM")
    show(in_turn(streams(100 if values.quick else 500), seconds), "in POSTs of 500", "ms a case")
    print("\nthe CUSUM alone, a normal score at a time")
    show(in_turn(cusum(rng.normal(size=10 * count)), seconds), "ours", "us a case", scale=1e6)


def ours(reference: mmd.Sample, cases: np.ndarray, size: int) -> list[float]:
    window = mmd.Window(reference, size)
    return [window.push(case) for case in cases][size:]


def anew(reference: mmd.Sample, cases: np.ndarray, size: int) -> list[float]:
    return [mmd.statistic(reference, cases[last - size : last]) for last in range(size + 1, len(cases) + 1)]


def everything(reference: mmd.Sample, cases: np.ndarray, size: int) -> list[float]:
    def kernel(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return np.exp(-cdist(one, other, "sqeuclidean") / (2 * reference.bandwidth**2))

    def mean_of_pairs(rows: np.ndarray) -> float:
        found = kernel(rows, rows)
        return (found.sum() - np.trace(found)) / (len(rows) * (len(rows) - 1))

    return [
        mean_of_pairs(reference.rows) + mean_of_pairs(window) - 2 * kernel(reference.rows, window).mean()
        for window in (cases[last - size : last] for last in range(size + 1, len(cases) + 1))
    ]


def streams(count: int) -> dict[str, Callable[[], float]]:
    """One case at a time, and many at once."""
    fitted = fit({"A": list(observations(1000, 0))}, DriftConfig(), extractor="", seed=0)
    new = list(observations(500, 1))
    one = cycle(new)
    return {
        "in POSTs of 500": timed(lambda: judge(fitted, new), len(new)),
        "one at a time": timed(lambda: [judge(fitted, [next(one)]) for _ in range(count // 5)], count // 5),
    }


def cusum(scores: np.ndarray) -> dict[str, Callable[[], float]]:
    """Ours, and River's Page-Hinkley where it is installed."""

    def ours() -> None:
        advance(State(), scores, threshold=8.0, k=0.5)

    turns = {"ours": timed(ours, len(scores))}
    if find_spec("river"):
        from river.drift import PageHinkley

        def river() -> None:
            test = PageHinkley(threshold=1e9)
            for score in scores.tolist():
                test.update(score)

        turns["River, Page-Hinkley"] = timed(river, len(scores))
    return turns


def judge(reference: Reference, cases: list[Observation]) -> None:
    for stream in reference.streams:
        scorer = reference.scorer("A", stream)
        advance(State(), normal_scores(scorer.p_values(cases)), threshold=scorer.threshold.h, k=0.5)


def observations(count: int, seed: int) -> Iterator[Observation]:
    rng = np.random.default_rng(seed)
    for i in range(count):
        shape = {
            f"{name}.{key}": float(value)
            for name in ("disc", "cup")
            for key, value in zip(
                ("area", "circularity", "components", "entropy", "probability", "x", "y", "radius"),
                np.exp(0.1 * rng.normal(size=8)),
                strict=True,
            )
        }
        names = ("field.area", "field.width", "field.height", "sharpness", "flat", "width", "height")
        field = dict(zip(names, np.exp(0.1 * rng.normal(size=len(names))).tolist(), strict=True))
        yield Observation(
            f"{seed}-{i}", "fundus", "A", "1", "", i, 0.0, tuple(rng.normal(size=300).tolist()),
            {**shape, "disc.empty": 0.0, "cup.empty": 0.0}, field,
        )  # fmt: skip


if __name__ == "__main__":
    main()
