"""A picture in, masks out: by the cascade alone, or steered by clicks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from parfocal.augmentation.clicks import Click
from parfocal.core.bundle import Bundle
from parfocal.core.errors import UsageError
from parfocal.inference.interactive import INTERACT, InteractivePredictor
from parfocal.inference.postprocess import Chain, PostConfig, redraw
from parfocal.inference.predictor import Prediction, Predictor
from parfocal.preprocessing.images import Picture
from parfocal.preprocessing.recipes import stored
from parfocal.preprocessing.roi import Box

Masks = dict[str, NDArray[np.bool_]]
"""By structure, bool [H, W]."""


class Cascade:
    """Every structure of a bundle, outermost first."""

    def __init__(
        self, folder: Path, spec: Bundle, runtime: str = "auto", post: PostConfig | None = None, instrument: str = ""
    ) -> None:
        """Load a bundle.

        Args:
            folder, spec: the bundle.
            runtime: as for `Predictor`.
            post: other post-processing than the bundle was judged with; None leaves its masks as they are served.
            instrument: of the pictures.

        Raises:
            UsageError: its networks answer clicks.
        """
        self.spec, self.post = spec, post
        self._predictor, self._chain = Predictor(folder, runtime, instrument=instrument), Chain(post)
        self._recipe = stored(spec.recipe, folder)

    def __call__(self, image: Picture) -> tuple[Masks, Prediction]:
        """The masks, and the prediction that they were drawn from."""
        found = self._predictor.predict(image)
        if self.post is None:
            return dict(found.masks), found
        return redraw(found, self.spec, self._chain, lambda box: self.frame(image, box)), found

    def frame(self, image: Picture, box: Box) -> NDArray[np.uint8]:
        """What the network saw of a box of the picture."""
        return self._recipe.frame(image, box)


class Steered:
    """The clicked structure and those that it is inside, which get no clicks."""

    def __init__(
        self, folder: Path, spec: Bundle, structure: str, runtime: str = "auto", post: PostConfig | None = None
    ) -> None:
        """Load what is needed of a bundle.

        Args:
            folder, spec: the bundle.
            structure: that is clicked.
            runtime, post: as for `InteractivePredictor`.

        Raises:
            UsageError: the bundle has no such structure, or one on the way does not answer clicks.
        """
        if structure not in spec.structures:
            raise UsageError(f"no structure '{structure}'", where=folder, expected=", ".join(spec.structures))
        wanted = [structure]
        while (outer := spec.structures[wanted[0]].inside) is not None:
            wanted.insert(0, outer)
        self._structure, self._spec = structure, spec
        self._predictors = {name: InteractivePredictor(folder, name, runtime, post=post) for name in wanted}

    def __call__(self, image: Picture, clicks: Sequence[Click]) -> Masks:
        """Each click is answered with the answer before it, as in training."""
        masks: Masks = {}
        for name, predictor in self._predictors.items():
            within = masks.get(self._spec.structures[name].inside or "")
            given = clicks if name == self._structure else ()
            answer = predictor.predict(image, given[:1], outer=within)
            for count in range(2, len(given) + 1):
                answer = predictor.predict(image, given[:count], answer.probability, outer=within)
            masks[name] = answer.mask
        return masks


def answers_clicks(spec: Bundle) -> bool:
    """Whether networks of a bundle were trained to be clicked, and draw little by themselves."""
    return any(model.objective == INTERACT for model in spec.structures.values())
