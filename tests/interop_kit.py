"""Tiny bundles: of a task of CT, made of the serving kit's, and of networks that answer clicks."""

import json
import shutil
from pathlib import Path

import numpy as np
import serving_kit as kit

from parfocal.core import manifest
from parfocal.core.bundle import BUNDLE, Bundle, Clicked, Exported, StructureModel
from parfocal.preprocessing.ct import CtRecipe
from parfocal.preprocessing.fundus import FundusRecipe


def bone(folder: Path) -> Path:
    """The disc's network of a bundle of photographs, as a bundle of the task bone, sealed."""
    told = json.loads((kit.bundle(folder / "fundus", 1) / BUNDLE).read_text())
    told |= {"task": "bone", "recipe": CtRecipe(size=64).model_dump(mode="json")}
    told["structures"] = {"bone": told["structures"]["disc"]}
    with manifest.new_folder(folder / "bone", "bundle") as scratch:
        shutil.copytree(folder / "fundus" / "disc", scratch / "disc")
        (scratch / BUNDLE).write_text(json.dumps(told))
    return folder / "bone"


def clickable(folder: Path) -> Path:
    """A sealed bundle of two tiny networks that answer clicks, of random weights."""
    import torch

    from parfocal import models
    from parfocal.inference.runtimes.openvino import OpenVINORuntime, export

    spec = models.ModelConfig(depth=2, width=4, increment=1.1).spec(in_channels=6)
    exported = {"openvino": Exported(file=OpenVINORuntime.file, agreement=1.0)}
    structures = {
        name: StructureModel(
            folder=name, inside=inside, runtimes=exported, objective="interact", clicks=Clicked(), threshold=threshold
        )
        for name, inside, threshold in (("disc", None, 0.5), ("cup", "disc", 0.45))
    }
    recipe = FundusRecipe(size=64)
    made = Bundle(task="fundus", structures=structures, recipe=recipe.model_dump(), instruments=("A",), datasets=())
    with manifest.new_folder(folder, "bundle", seed=0) as scratch:
        for seed, name in enumerate(structures):
            (scratch / name).mkdir()
            network = models.build(spec.name, spec.parameters, seed=seed)
            noise = torch.from_numpy(np.random.default_rng(0).random((4, 6, 64, 64), np.float32))
            with torch.no_grad():
                network.eval().head.bias -= network(noise).median()  # about half of a picture is in
            models.save(network, spec, scratch / name)
            export(network, scratch / name, 64, channels=6)
        (scratch / BUNDLE).write_text(made.model_dump_json())
    return folder
