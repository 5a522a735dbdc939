"""What an answer is probably worth, without its truth: a predicted Dice with an interval, by case and by instrument.

A ridge regression from what the answer looks like and how far the case lies from the reference, fitted to labelled
cases that no network was trained on. Its interval is conformal (Vovk, Gammerman and Shafer 2005), with residuals
divided by their own predicted size (Papadopoulos, Gammerman and Vovk, Normalized nonconformity measures, 2008; Lei and
others, Distribution-free predictive inference for regression, JASA 2018, section 5.2); every labelled case is held out
of the regression that predicts it (Vovk 2015). It holds, on average over labelled sets, for cases exchangeable with the
labelled ones. For a changed instrument nothing holds by proof; it is a lead whether the change does harm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from parfocal.core.types import Interval

LEVEL = 0.90
SMALLEST = 40
"""Labelled cases, at least: with fewer, both ends of a 90 % interval hang on one case."""
FOLDS = 10
RIDGE = 1.0
"""Penalty, in units of a standardised column over all cases."""
REACH = 4.0
"""Standard deviations beyond which a feature counts no further: a straight line is not to be followed far."""
FLOOR = 0.25
"""Least predicted size of a residual, as part of the mean size."""
RIDGES = ("mean", "scale", "weights", "floor")
HARMLESS = 0.02
"""Loss of mean Dice that is none: the gate's margin."""

Floats = NDArray[np.float64]
Harm = Literal["none", "likely", "unclear"]


@dataclass(frozen=True, eq=False)
class Ridge:
    """Two straight lines over the same features: Dice, and how far from it the truth may lie.

    Attributes:
        mean, scale: of the features, [F].
        weights: of Dice and of the size of a residual by standardised features, the constant last, [2, F + 1].
        floor: least size of a residual.
    """

    mean: Floats
    scale: Floats
    weights: Floats
    floor: float

    def predict(self, features: Floats) -> tuple[Floats, Floats]:
        """Dice and size of the residual of finite rows [N, F]."""
        rows = _standardised(features, self.mean, self.scale)
        return rows @ self.weights[0], np.maximum(rows @ self.weights[1], self.floor)


@dataclass(frozen=True, eq=False)
class Quality:
    """A fitted predictor of one structure's Dice.

    Attributes:
        ridge: fitted to all labelled cases.
        residuals: true minus predicted Dice over its predicted size, of labelled cases held out, ascending, [n].
        raw: mean and standard deviation of true minus predicted Dice of the same cases, [2].
        usual: mean true Dice of the labelled cases.
    """

    ridge: Ridge
    residuals: Floats
    raw: Floats
    usual: float

    def cases(self, features: Floats, level: float = LEVEL) -> list[Interval]:
        """Predicted Dice of each row of [N, F], in [0, 1], with an interval that holds its Dice at `level`.

        A row that is not finite (nothing was found in the picture) is predicted 0 and may be anything.
        """
        usable = np.asarray(np.isfinite(features).all(axis=1))
        found, size = self.ridge.predict(np.where(usable[:, None], features, 0.0))
        low, high = (self._quantile(share) for share in ((1 - level) / 2, (1 + level) / 2))
        ends = np.clip([found, found + low * size, found + high * size], 0.0, 1.0).T
        return [
            Interval(float(p), float(min(a, p)), float(max(b, p)), level) if good else Interval(0.0, 0.0, 1.0, level)
            for (p, a, b), good in zip(ends, usable, strict=True)
        ]

    def mean_of(self, features: Floats, level: float = LEVEL) -> Interval:
        """Predicted mean Dice of these cases [N, F], N >= 1, with an interval for their true mean.

        Cases that cannot be measured count as 0. The interval is of Student's t, from the spread of held-out residuals:
        that of the mean of N new ones and that of the mean of the n labelled ones.
        """
        from scipy.stats import t

        usable = np.isfinite(features).all(axis=1)
        found, _ = self.ridge.predict(features[usable])
        n, count = len(self.residuals), max(int(usable.sum()), 1)
        share = float(usable.mean())
        estimate = float(np.clip(found + self.raw[0], 0.0, 1.0).mean()) * share if usable.any() else 0.0
        half = float(t.ppf((1 + level) / 2, n - 1) * self.raw[1] * np.sqrt(1 / count + 1 / n)) * share
        return Interval(estimate, max(estimate - half, 0.0), min(estimate + half, 1.0), level)

    def harm(self, seen: Interval) -> Harm:
        """Whether a mean as `mean_of` gives it lies below the usual one by more than `HARMLESS`."""
        limit = self.usual - HARMLESS
        return "likely" if seen.high < limit else "none" if seen.low >= limit else "unclear"

    def _quantile(self, share: float) -> float:
        """Of the residuals, cautious by the usual 1 / (n + 1); infinite where there are too few for that share."""
        n = len(self.residuals)
        place = int(np.ceil((n + 1) * share)) if share > 0.5 else int(np.floor((n + 1) * share))
        if not 1 <= place <= n:
            return np.inf if share > 0.5 else -np.inf
        return float(self.residuals[place - 1])

    def arrays(self) -> dict[str, Floats]:
        """As plain arrays, for `quality`."""
        ridge = {name: np.array(getattr(self.ridge, name)) for name in RIDGES}
        return {**ridge, "residuals": self.residuals, "raw": self.raw, "usual": np.array(self.usual)}


def quality(arrays: Mapping[str, Floats]) -> Quality:
    """From `Quality.arrays`.

    Raises:
        KeyError, ValueError: they are not those.
    """
    mean, scale, weights, floor = (arrays[name] for name in RIDGES)
    if weights.shape != (2, len(mean) + 1) or scale.shape != mean.shape or arrays["raw"].shape != (2,):
        raise ValueError("arrays of a quality predictor do not fit one another")
    return Quality(
        Ridge(mean, scale, weights, float(floor)), arrays["residuals"], arrays["raw"], float(arrays["usual"])
    )


def fit(features: Floats, dice: Floats, *, seed: int) -> Quality | None:
    """Fit to labelled cases, features [N, F] and true Dice [N]; None below `SMALLEST` that can be measured."""
    usable = np.isfinite(features).all(axis=1) & np.isfinite(dice)
    rows, true = features[usable], dice[usable]
    if len(rows) < SMALLEST:
        return None
    folds = np.random.default_rng([seed, len(rows)]).permutation(np.arange(len(rows)) % FOLDS)
    found, sizes = np.empty((2, len(rows)))
    for fold in range(FOLDS):
        held_out = folds == fold
        found[held_out], sizes[held_out] = _ridge(rows[~held_out], true[~held_out]).predict(rows[held_out])
    residual = true - found
    raw = np.array([residual.mean(), residual.std(ddof=1)])
    return Quality(_ridge(rows, true), np.sort(residual / sizes), raw, float(true.mean()))


def _ridge(features: Floats, dice: Floats) -> Ridge:
    mean, scale = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-6)
    rows = _standardised(features, mean, scale)
    penalty = RIDGE * np.eye(rows.shape[1])
    penalty[-1, -1] = 0.0  # the constant is free
    inverse = np.linalg.solve(rows.T @ rows + penalty, rows.T)
    weights = inverse @ dice
    size = np.abs(dice - rows @ weights)
    return Ridge(mean, scale, np.stack([weights, inverse @ size]), max(FLOOR * float(size.mean()), 1e-6))


def _standardised(features: Floats, mean: Floats, scale: Floats) -> Floats:
    rows = np.clip((features - mean) / scale, -REACH, REACH)
    return np.hstack([rows, np.ones((len(rows), 1))])
