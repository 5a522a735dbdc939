"""What each stream looks at."""

import numpy as np
import pytest

from parfocal.core.types import Observation
from parfocal.drift.appearance import Appearance
from parfocal.drift.framing import PLACES, SIZES, Framing

SEEN = {"disc.x": 0.4, "disc.y": 0.6, "disc.radius": 0.1, "cup.radius": 0.05}
FIELD: dict[str, float | str] = {
    "field.area": 0.7, "field.width": 1.0, "field.height": 0.9, "width": 512.0, "height": 400.0
}  # fmt: skip


def observation(**changes: object) -> Observation:
    values = {"embedding": (1.0, 2.0), "shape": SEEN, "acquisition": FIELD, **changes}
    return Observation("1", "fundus", None, "1", "", 0, 0.0, **values)  # type: ignore[arg-type]


def test_appearance_is_the_embedding_of_the_asked_or_the_commonest_length() -> None:
    cases = [observation(), observation(embedding=(1.0,) * 3), observation(embedding=()), observation()]
    nan = [float("nan")] * 2
    assert np.array_equal(Appearance().vectors(cases), [[1, 2], nan, nan, [1, 2]], equal_nan=True)
    assert np.isfinite(Appearance().vectors(cases, 3)).all(axis=1).tolist() == [False, True, False, False]


def test_appearance_does_not_see_the_framing_nor_framing_the_appearance() -> None:
    moved = observation(shape={**SEEN, "disc.x": 0.9, "disc.radius": 0.3})
    other = observation(embedding=(7.0, 8.0))
    assert np.array_equal(Appearance().vectors([observation()]), Appearance().vectors([moved]))
    assert np.array_equal(Framing().vectors([observation()]), Framing().vectors([other]))


def test_framing_is_places_and_logarithms_of_sizes() -> None:
    [row] = Framing().vectors([observation()])
    assert PLACES + SIZES == ("disc.x", "disc.y", "disc.radius", "field.area", "field.width", "field.height")
    assert row == pytest.approx([0.4, 0.6, *np.log([0.1, 0.7, 1.0, 0.9])])


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": {"disc.empty": 1.0}},
        {"shape": {**SEEN, "disc.radius": 0.0}},
        {"acquisition": {**FIELD, "field.area": 0.0}},
        {"acquisition": {**FIELD, "field.area": "unknown"}},
        {"acquisition": {}},
    ],
)
def test_without_a_disc_or_a_field_there_is_no_framing(changes: dict[str, object]) -> None:
    rows = Framing().vectors([observation(), observation(**changes)])
    assert np.isnan(rows).all(axis=1).tolist() == [False, True]
