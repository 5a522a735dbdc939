"""A photograph in, masks out: by the cascade alone, or steered by clicks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from parfocal.augmentation.clicks import Click
from parfocal.core.bundle import Bundle
from parfocal.core.errors import UsageError
from parfocal.inference.interactive import InteractivePredictor
from parfocal.inference.postprocess import Chain, PostConfig, redraw
from parfocal.inference.predictor import Predictor
from parfocal.preprocessing.images import Picture
from parfocal.preprocessing.recipes import stored

Masks = dict[str, NDArray[np.bool_]]
"""By structure, bool [H, W]."""

Segmenter = Callable[[Picture], Masks]
"""Of a decoded picture: uint8 BGR [H, W, 3] or uint16 grey [H, W]."""


def cascade(folder: Path, spec: Bundle, runtime: str = "auto", post: PostConfig | None = None) -> Segmenter:
    """Every structure of a bundle, outermost first.

    Args:
        folder, spec: the bundle.
        runtime: as for `Predictor`.
        post: other post-processing than the bundle was judged with; None leaves its masks as they are served.
    """
    predictor, chain = Predictor(folder, runtime), Chain(post)
    recipe = stored(spec.recipe, folder)

    def run(image: Picture) -> Masks:
        found = predictor.predict(image)
        if post is None:
            return dict(found.masks)
        return redraw(found, spec, chain, lambda box: recipe.frame(image, box))

    return run


def clicked(
    folder: Path,
    spec: Bundle,
    structure: str,
    clicks: Sequence[Click],
    runtime: str = "auto",
    post: PostConfig | None = None,
) -> Segmenter:
    """The clicked structure and those that it is inside, which get no clicks.

    Each click is answered with the answer before it, as in training.

    Raises:
        UsageError: the bundle has no such structure, or one on the way does not answer clicks.
    """
    if structure not in spec.structures:
        raise UsageError(f"no structure '{structure}'", where=folder, expected=", ".join(spec.structures))
    wanted = [structure]
    while (outer := spec.structures[wanted[0]].inside) is not None:
        wanted.insert(0, outer)
    predictors = {name: InteractivePredictor(folder, name, runtime, post=post) for name in wanted}

    def run(image: Picture) -> Masks:
        masks: Masks = {}
        for name, predictor in predictors.items():
            within = masks.get(spec.structures[name].inside or "")
            given = clicks if name == structure else ()
            answer = predictor.predict(image, given[:1], outer=within)
            for count in range(2, len(given) + 1):
                answer = predictor.predict(image, given[:count], answer.probability, outer=within)
            masks[name] = answer.mask
        return masks

    return run
