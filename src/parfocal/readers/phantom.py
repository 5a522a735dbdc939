"""Reads a recipe of simulated photographs, `phantom.json`, and has them photographed."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError

from parfocal import phantoms
from parfocal.core.config import Config
from parfocal.core.errors import DataContractError
from parfocal.core.manifest import sha256
from parfocal.core.protocols import Scan
from parfocal.core.task import task as task_named
from parfocal.core.types import Case

RECIPE = "phantom.json"


class Recipe(Config):
    """Contents of phantom.json."""

    instrument: str = Field(description="simulated camera: A, B, C or D")
    patients: tuple[int, int] = Field(description="first number, and how many")
    seed: int = Field(default=0, ge=0, description="names the population")


class PhantomReader:
    """Reads `<source>/phantom.json`, such as ``{"instrument": "B", "patients": [1000, 60], "seed": 0}``."""

    def scan(self, source: Path, workdir: Path, *, task: str, instrument: str) -> Scan:
        """Photograph the recipe's patients into `workdir`.

        The case belongs to `instrument`, which need not be the simulated camera's name.

        Raises:
            DataContractError: there is no recipe, or it cannot be read.
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
        phantoms.write(workdir, recipe.instrument, range(first, first + count), seed=recipe.seed)
        structures = task_named(task).names
        return Scan(tuple(self._case(image, workdir, structures, task, instrument) for image in _images(workdir)))

    @staticmethod
    def _case(image: Path, folder: Path, structures: tuple[str, ...], task: str, instrument: str) -> Case:
        patient = image.stem.rsplit("-", 1)[-1]
        return Case(
            id=f"{instrument}-{patient}",
            task=task,
            instrument=instrument,
            patient=patient,
            image=image,
            masks={structure: folder / structure / f"{image.stem}.png" for structure in structures},
            checksum=sha256(image),
            grader="phantom",
        )


def _images(folder: Path) -> list[Path]:
    return sorted((folder / "images").iterdir())
