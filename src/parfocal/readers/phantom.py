"""Reads a recipe of simulated examinations, `phantom.json`, and has them made: photographs, or slices of volumes."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, NonNegativeInt, PositiveInt, ValidationError

from parfocal import phantoms
from parfocal.core.config import Config
from parfocal.core.errors import DataContractError
from parfocal.core.manifest import sha256
from parfocal.core.protocols import Scan
from parfocal.core.task import task as task_named
from parfocal.core.types import NO_SLICE, Case, Slice
from parfocal.phantoms.folder import GRADER, Saved
from parfocal.readers.naming import case_id

RECIPE = "phantom.json"
PHOTOGRAPHED = "fundus"
"""The task whose phantoms are photographs by a camera; all others are volumes by a scanner."""
CUT = ("ct", "mr")
"""Modalities whose slices are neighbours; the slices of an X-ray phantom are pictures of their own."""


class Recipe(Config):
    """Contents of phantom.json."""

    task: str = Field(default="", description="the task that the phantoms are made for; empty: the one asked for")
    instrument: str = Field(
        description="camera A, B, C, D or R (fundus); scanner X, Y (bone), M, S (lung), P, Q (prostate)"
    )
    patients: tuple[NonNegativeInt, PositiveInt] = Field(description="first number, and how many")
    unlabelled: tuple[NonNegativeInt, PositiveInt] | None = Field(
        default=None, description="first number, and how many, of patients without any label"
    )
    seed: int = Field(default=0, ge=0, description="names the population")
    slices: int = Field(
        default=0, ge=0, le=512, description="of a patient's volume; 0: as many as are usual (not fundus)"
    )
    points_only: bool = Field(default=False, description="the label is the disc's centre, not masks (fundus alone)")


class PhantomReader:
    """Reads `<source>/phantom.json`, such as ``{"instrument": "B", "patients": [1000, 60], "seed": 0}``.

    The task decides what is simulated: fundus photographs, CT of the leg (bone), chest radiographs (lung) or MR of the
    prostate. Of a volume each slice is a case.
    """

    def scan(self, source: Path, workdir: Path, *, task: str, instrument: str) -> Scan:
        """Have the recipe's patients examined, files in `workdir`.

        A case belongs to `instrument`, which need not be the simulated camera's name and defaults to it.

        Raises:
            DataContractError: there is no recipe, it cannot be read, or it is for another task.
            UsageError: there is no such camera or scanner, or no phantoms of the task.
        """
        file = source if source.is_file() else source / RECIPE
        recipe = _recipe(file, task)
        labelled, bare = (_numbers(recipe.patients), _numbers(recipe.unlabelled))
        if task == PHOTOGRAPHED:
            saved = phantoms.write(
                workdir, recipe.instrument, labelled, seed=recipe.seed, unlabelled=bare, points_only=recipe.points_only
            )
        else:
            saved = phantoms.write_volumes(
                workdir, task, recipe.instrument, labelled, seed=recipe.seed, unlabelled=bare, slices=recipe.slices
            )
        owner, structures = instrument or recipe.instrument, task_named(task).names
        cases = tuple(_case(one, structures, task, owner) for one in saved)
        return Scan(
            tuple(case for case in cases if case.masks or case.points),
            unlabelled=tuple(case for case in cases if not case.masks and not case.points),
        )


def _recipe(file: Path, task: str) -> Recipe:
    try:
        recipe = Recipe.model_validate_json(file.read_text())
    except (OSError, ValidationError, UnicodeDecodeError) as error:
        raise DataContractError(
            f"the phantom recipe cannot be read: {error}", where=file,
            expected='{"instrument": "B", "patients": [1000, 60], "seed": 0}',
        ) from None  # fmt: skip
    if recipe.task not in ("", task):
        raise DataContractError(f"the recipe is for the task {recipe.task}", where=file, expected=f"the task {task}")
    if (task == PHOTOGRAPHED and recipe.slices > 1) or (task != PHOTOGRAPHED and recipe.points_only):
        raise DataContractError(
            "photographs have no slices" if recipe.slices > 1 else "volumes have no points", where=file,
            expected=f"slices for volumes, points_only for {PHOTOGRAPHED}",
        )  # fmt: skip
    return recipe


def _numbers(patients: tuple[int, int] | None) -> range:
    return range(patients[0], patients[0] + patients[1]) if patients else range(0)


def _case(one: Saved, structures: tuple[str, ...], task: str, instrument: str) -> Case:
    """The photographs of a patient have the patient's name, the slices the patient's and a number."""
    name = one.patient if task == PHOTOGRAPHED else one.image.stem.split("-", 1)[1]
    cut = task_named(task).modality in CUT
    return Case(
        id=case_id(instrument, name), task=task, instrument=instrument, patient=one.patient, image=one.image,
        masks={structure: file for structure, file in one.masks.items() if structure in structures},
        points=dict(one.points), checksum=sha256(one.image), spacing=one.spacing,
        grader=GRADER if one.masks or one.points else "",
        slice=Slice(case_id(instrument, one.patient), int(name.rsplit("-", 1)[1])) if cut else NO_SLICE,
    )  # fmt: skip
