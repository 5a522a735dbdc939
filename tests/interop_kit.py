"""A tiny bundle of a task of CT, made of the serving kit's."""

import json
import shutil
from pathlib import Path

import serving_kit as kit

from parfocal.core import manifest
from parfocal.core.bundle import BUNDLE
from parfocal.preprocessing.ct import CtRecipe


def bone(folder: Path) -> Path:
    """The disc's network of a bundle of photographs, as a bundle of the task bone, sealed."""
    told = json.loads((kit.bundle(folder / "fundus", 1) / BUNDLE).read_text())
    told |= {"task": "bone", "recipe": CtRecipe(size=64).model_dump(mode="json")}
    told["structures"] = {"bone": told["structures"]["disc"]}
    with manifest.new_folder(folder / "bone", "bundle") as scratch:
        shutil.copytree(folder / "fundus" / "disc", scratch / "disc")
        (scratch / BUNDLE).write_text(json.dumps(told))
    return folder / "bone"
