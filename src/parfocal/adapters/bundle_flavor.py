"""How MLflow loads a registered bundle: this module's name is written into the model, no pickle is.

model = mlflow.pyfunc.load_model("models:/fundus@champion")
model.predict([image])                      # BGR uint8 [H, W, 3] in, masks uint8 {0, 1} [H, W] out
model.predict({"image": [jpeg_bytes]})      # an encoded image in, PNG masks out; a DataFrame works the same
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from parfocal.core.errors import DataContractError

if TYPE_CHECKING:
    from parfocal.inference.predictor import Predictor


class BundleModel:
    """A bundle behind MLflow's predict."""

    def __init__(self, folder: Path) -> None:
        from parfocal.inference.predictor import Predictor

        self._predictor: Predictor = Predictor(folder)

    def predict(self, images: Any, params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:  # noqa: ARG002
        """Segment every image.

        Args:
            images: a sequence of BGR uint8 arrays [H, W, 3]; or a mapping or DataFrame whose column ``image`` holds
                encoded images (bytes, or base64 text as it comes over HTTP).
            params: MLflow passes it; there are none.

        Returns:
            One dict an image, structure to mask: uint8 {0, 1} [H, W] for arrays, base64 PNG text (0/255) for encoded
            images.

        Raises:
            DataContractError: an image cannot be decoded, or there is no column ``image``.
        """
        if isinstance(images, np.ndarray | Sequence):
            return [self._masks(np.asarray(image)) for image in images]
        try:
            column = list(images["image"])
        except (KeyError, TypeError):
            raise DataContractError(
                "no images to segment", expected="a list of BGR arrays, or a column `image` of encoded images"
            ) from None
        return [{name: _encode(mask) for name, mask in self._masks(_decode(value)).items()} for value in column]

    def _masks(self, image: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
        found = self._predictor.predict(image)
        return {name: mask.astype(np.uint8) for name, mask in found.masks.items()}


def _load_pyfunc(path: str) -> BundleModel:
    """MLflow's entry point; `path` is the bundle folder."""
    return BundleModel(Path(path))


def _decode(value: bytes | str) -> NDArray[np.uint8]:
    import cv2

    data = base64.b64decode(value) if isinstance(value, str) else value
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if image is None:
        raise DataContractError("an image cannot be decoded", expected="JPEG, PNG or TIFF bytes, or their base64")
    return np.asarray(image, np.uint8)


def _encode(mask: NDArray[np.uint8]) -> str:
    import cv2

    _, png = cv2.imencode(".png", mask * np.uint8(255))
    return base64.b64encode(png.tobytes()).decode()
