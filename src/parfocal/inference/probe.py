"""What a bundle is tried on before a patient's picture comes: pictures of its task's kind, and every network it has."""

from __future__ import annotations

from parfocal.core.bundle import BUNDLE, Bundle
from parfocal.core.errors import DataContractError
from parfocal.core.task import TASKS
from parfocal.preprocessing import recipes
from parfocal.preprocessing.images import Picture, shown
from parfocal.preprocessing.roi import Box

PHOTOGRAPH = TASKS["fundus"].modality


def picture(spec: Bundle, number: int) -> Picture:
    """A phantom of the bundle's task, uint8 BGR [H, W, 3] or uint16 grey [H, W], as its recipe takes it.

    Of a task for which there are no phantoms, one of the same modality; of an unknown one a fundus photograph.

    Args:
        spec: the bundle.
        number: of the simulated patient, 0 or more; two numbers give two pictures.
    """
    recipe = recipes.stored(spec.recipe, BUNDLE)
    made = _phantom(spec.task, number)
    times = -(-recipe.size // min(made.shape[:2]))  # a recipe with tiles asks for a tile at least
    made = made.repeat(times, 0).repeat(times, 1)
    try:
        recipe.frame(made, Box(0, 0, *made.shape[:2]))
    except DataContractError:  # a recipe for 8-bit exports of what a scanner stores with 16
        return shown(made)
    return made


def instruments(spec: Bundle) -> tuple[str, ...]:
    """An unnamed one, and each that some structure has a network for: so all networks are asked."""
    return ("", *sorted({name for model in spec.structures.values() for name in model.by_instrument}))


def _phantom(task: str, number: int) -> Picture:
    modality = TASKS[task].modality if task in TASKS else PHOTOGRAPH
    if modality == PHOTOGRAPH:
        from parfocal.phantoms.photograph import case

        return case("A", number, 0).image
    from parfocal.phantoms import examinations  # brings SciPy, which photographs do without

    alike = [name for name in examinations.GENERATORS if TASKS[name].modality == modality]
    name = task if task in alike else alike[0]
    first: Picture = examinations.volume(name, examinations.scanners(name)[0], number, 0, 1).pictures[0]
    return first
