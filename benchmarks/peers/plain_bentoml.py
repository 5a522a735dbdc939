"""What a team would write first: BentoML, PIL and PyTorch. The same two networks, the same crops, the same answer."""

import base64
import io
import json
import os
from pathlib import Path

import bentoml
import numpy as np
import torch
from PIL import Image

from parfocal import models
from parfocal.core.task import Structure
from parfocal.preprocessing.recipes import Recipe
from parfocal.preprocessing.roi import mask_from_frame


@bentoml.service(workers=1, traffic={"timeout": 30})
class Plain:
    """POST /segment with a file; masks as PNG in base64, areas and the cup-to-disc ratio."""

    def __init__(self) -> None:
        folder = Path(os.environ["BUNDLE"])
        spec = json.loads((folder / "bundle.json").read_text())
        self.recipe = Recipe.parse(spec["recipe"])
        self.models = {name: models.load(folder / one["folder"]) for name, one in spec["structures"].items()}
        self.inside = {name: one["inside"] for name, one in spec["structures"].items()}

    @bentoml.api
    def segment(self, image: Image.Image) -> dict:
        pixels = np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1])
        height, width = pixels.shape[:2]
        masks = {}
        for name, model in self.models.items():
            outer = masks.get(self.inside[name])
            box = self.recipe.box(Structure(name, self.inside[name]), height, width, outer)
            if box is None:
                masks[name] = np.zeros((height, width), bool)
                continue
            frame = self.recipe.frame(pixels, box)
            tensor = torch.from_numpy(frame.transpose(2, 0, 1)[None].astype(np.float32) / 255)
            with torch.no_grad():
                probability = torch.sigmoid(model(tensor))[0, 0].numpy()
            masks[name] = mask_from_frame(probability, box, height, width) >= 0.5
        radius = {name: float(np.sqrt(mask.sum() / np.pi)) for name, mask in masks.items()}
        return {
            "structures": {name: {"mask": _png(mask), "area": int(mask.sum())} for name, mask in masks.items()},
            "cdr": radius["cup"] / radius["disc"] if radius["disc"] else None,
        }


def _png(mask: np.ndarray) -> str:
    stream = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()
