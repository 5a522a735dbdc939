"""How a run's localizer goes from step to step: from where it lies, into the dataset, from there into the bundle.

A recipe of a run names the folder of a localizer. The recipe of a dataset or a bundle names it by what it is, the
SHA-256 of its weights, because folders move.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from parfocal.core import bundle, manifest
from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.manifest import Parent
from parfocal.core.types import Split
from parfocal.inference import locator
from parfocal.inference.locator import FOLDER, WEIGHTS
from parfocal.preprocessing.locate import Locator
from parfocal.preprocessing.recipes import Recipe
from parfocal.preprocessing.shards import read_dataset
from parfocal.steps.config import RunConfig

_NAMED = re.compile("[0-9a-f]{64}")
"""A localizer that is named by its weights."""


def named(config: RunConfig) -> RunConfig:
    """The settings with the localizer, if there is one, named by what it is.

    Raises:
        UsageError: there is no localizer in the folder that they name.
    """
    finds = config.recipe.finds
    if finds is None or _NAMED.fullmatch(finds.model):
        return config
    weights = _place(Path(finds.model)) / WEIGHTS
    if not weights.is_file():
        raise UsageError(
            "there is no localizer here",
            where=finds.model,
            expected="recipe.locate.model: a folder that `parfocal pretrain --objective localize` wrote, or a dataset "
            "or bundle that carries a locator",
        )
    return config.model_copy(update={"recipe": _renamed(config.recipe, manifest.sha256(weights))})


def into_dataset(
    recipe: Recipe, folder: Path, asked: RunConfig, champion: Path | None
) -> tuple[Locator | None, list[Parent]]:
    """Put the localizer of `recipe` into a dataset that is being made, and load it from there.

    A champion's is copied byte for byte, so that retrained networks get frames of the same kind.

    Args:
        recipe: that names it by its weights.
        folder: of the dataset.
        asked: the run as it was asked for, which says where the localizer lies.
        champion: bundle whose recipe is the same; None for a first model.

    Returns:
        None where the recipe asks for none; and what the dataset then has for a further parent.

    Raises:
        DataContractError: it is not whole, or learned from crops.
        UsageError: nothing says where it lies.
    """
    if recipe.finds is None:
        return None, []
    parents, checksum = [], ""
    if champion is not None:
        shutil.copytree(champion / FOLDER, folder / FOLDER)
        checksum = bundle.parse(champion).locator
    else:
        parents = _install(asked.recipe, folder)
    return locator.of(folder, recipe, checksum=checksum), parents


def refuse_learned(asked: RunConfig, instrument: str, sides: Mapping[str, Split]) -> None:
    """Refuse a localizer that has learned from patients of this instrument on whom the new dataset is judged.

    Args:
        asked: the run as it was asked for, which says where the localizer lies.
        instrument: of the new dataset.
        sides: by patient.

    Raises:
        DataContractError: there are such patients; found where the localizer's own datasets are still there.
    """
    finds = asked.recipe.finds
    if finds is None or _NAMED.fullmatch(finds.model) or (Path(finds.model) / FOLDER).is_dir():
        return
    from parfocal.training import pretrained

    for ref in pretrained.read(Path(finds.model)).datasets:
        if ref.instrument != instrument or not Path(ref.uri).is_dir():
            continue
        learned = {case.patient for case in read_dataset(Path(ref.uri)).on(Split.TRAIN)}
        both = sorted(learned & {patient for patient, side in sides.items() if side is not Split.TRAIN})
        if both:
            raise DataContractError(
                f"the localizer has learned from {len(both)} patients who are held out here: {both[0]}, ...",
                where=finds.model,
                expected="one side a patient",
                next="preprocess with the quota and split.key of the localizer's dataset, or pretrain it on this one",
            )


def into_bundle(recipe: Recipe, folder: Path, sources: Sequence[Path]) -> str:
    """Copy the locator of datasets, or of a champion, into a bundle that is being made.

    Returns:
        Its checksum, for bundle.json; empty where there is none.

    Raises:
        DataContractError: it has changed since the dataset or bundle was sealed.
    """
    if recipe.finds is None:
        return ""
    sealed = {name: sha for name, sha in manifest.read(sources[0]).files.items() if name.startswith(f"{FOLDER}/")}
    found = {f"{FOLDER}/{file.name}": manifest.sha256(file) for file in (sources[0] / FOLDER).iterdir()}
    if changed := sorted(name for name, _ in sealed.items() ^ found.items()):
        raise DataContractError(
            "a file of the locator has changed since it was sealed",
            where=sources[0] / changed[0],
            expected="the file that the manifest names",
            next="restore or remake the folder; do not edit sealed folders",
        )
    shutil.copytree(sources[0] / FOLDER, folder / FOLDER)
    locator.refuse_changed(folder / FOLDER, recipe.finds.model)
    return locator.identity(folder / FOLDER)


def _install(recipe: Recipe, folder: Path) -> list[Parent]:
    assert recipe.finds is not None
    if _NAMED.fullmatch(recipe.finds.model):
        raise UsageError(
            "the localizer is named by its weights, and nothing says where it lies",
            where="recipe.locate.model",
            expected="its folder",
        )
    from parfocal.training import pretrained  # knows torch; a dataset without a locator is made without it

    source = Path(recipe.finds.model)
    if (source / FOLDER).is_dir():
        manifest.verify(source)
        shutil.copytree(source / FOLDER, folder / FOLDER)
        return []
    told, sealed = pretrained.read(source), manifest.read(source)
    if told.recipe.get("locate", {}).get("model"):
        raise DataContractError(
            "this localizer learned from pictures that another one had cropped",
            where=source,
            next="pretrain it on a dataset that was preprocessed without recipe.locate",
        )
    locator.install(source, folder / FOLDER, recipe=told.recipe, uri=str(source.resolve()), checksum=sealed.checksum)
    return [sealed.parent(source)]


def _place(source: Path) -> Path:
    """Where the weights lie: in the folder itself, or in the locator that it carries."""
    return source / FOLDER if (source / FOLDER).is_dir() else source


def _renamed(recipe: Recipe, weights: str) -> Recipe:
    assert recipe.finds is not None
    return recipe.model_copy(update={"locate": recipe.finds.model_copy(update={"model": weights})})
