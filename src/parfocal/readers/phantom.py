"""Reads a recipe of simulated photographs, `phantom.json`, and has them photographed."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, NonNegativeInt, PositiveInt, ValidationError

from parfocal import phantoms
from parfocal.core.config import Config
from parfocal.core.errors import DataContractError
from parfocal.core.manifest import sha256
from parfocal.core.protocols import Scan
from parfocal.core.task import task as task_named
from parfocal.core.types import Case
from parfocal.phantoms.folder import GRADER, Saved
from parfocal.readers.naming import case_id

RECIPE = "phantom.json"


class Recipe(Config):
    """Contents of phantom.json."""

    instrument: str = Field(description="simulated camera: A, B, C or D")
    patients: tuple[NonNegativeInt, PositiveInt] = Field(description="first number, and how many")
    seed: int = Field(default=0, ge=0, description="names the population")


class PhantomReader:
    """Reads `<source>/phantom.json`, such as ``{"instrument": "B", "patients": [1000, 60], "seed": 0}``."""

    def scan(self, source: Path, workdir: Path, *, task: str, instrument: str) -> Scan:
        """Photograph the recipe's patients into `workdir`.

        A case belongs to `instrument`, which need not be the simulated camera's name and defaults to it.

        Raises:
            DataContractError: there is no recipe, or it cannot be read.
            UsageError: there is no such camera.
        """
        file = source if source.is_file() else source / RECIPE
        try:
            recipe = Recipe.model_validate_json(file.read_text())
        except (OSError, ValidationError, UnicodeDecodeError) as error:
            raise DataContractError(
                f"the phantom recipe cannot be read: {error}", where=file,
                expected='{"instrument": "B", "patients": [1000, 60], "seed": 0}',
            ) from None  # fmt: skip
        first, count = recipe.patients
        saved = phantoms.write(workdir, recipe.instrument, range(first, first + count), seed=recipe.seed)
        instrument, structures = instrument or recipe.instrument, task_named(task).names
        return Scan(tuple(_case(one, structures, task, instrument) for one in saved))


def _case(one: Saved, structures: tuple[str, ...], task: str, instrument: str) -> Case:
    return Case(
        id=case_id(instrument, one.patient), task=task, instrument=instrument, patient=one.patient, image=one.image,
        masks={structure: file for structure, file in one.masks.items() if structure in structures},
        checksum=sha256(one.image), spacing=one.spacing, grader=GRADER,
    )  # fmt: skip
