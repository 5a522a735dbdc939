"""What each stream looks at."""

from dataclasses import replace

import numpy as np
import pytest

from parfocal.core.types import Observation
from parfocal.drift import frequency
from parfocal.drift.acquisition import Acquisition
from parfocal.drift.appearance import Appearance
from parfocal.drift.framing import PLACES, SIZES, Framing
from parfocal.drift.plausibility import DOUBTLESS, MEASURES, Plausibility
from parfocal.drift.reference import DriftConfig, fit

SEEN = {"disc.x": 0.4, "disc.y": 0.6, "disc.radius": 0.1, "cup.radius": 0.05}
FIELD: dict[str, float | str] = {
    "field.area": 0.7, "field.width": 1.0, "field.height": 0.9, "width": 512.0, "height": 400.0, "sharpness": 4.0,
    "flat": 0.3,
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


ANSWER = {
    "disc.empty": 0.0, "disc.area": 0.02, "disc.circularity": 0.9, "disc.components": 1.0, "disc.entropy": 0.05,
    "disc.probability": 0.95,
    "cup.empty": 0.0, "cup.area": 0.005, "cup.circularity": 0.8, "cup.components": 2.0, "cup.entropy": 0.1,
    "cup.probability": 0.85, "cup.outside": 0.25,
}  # fmt: skip


def test_plausibility_is_the_answers_measures_by_structure() -> None:
    [row] = Plausibility().vectors([observation(shape=ANSWER)])
    assert MEASURES == ("area", "circularity", "components", "entropy", "probability", "outside")
    cup = [np.log(0.005), 0.8, np.log(3), np.log(0.1 + DOUBTLESS), 0.85, 0.25]
    disc = [np.log(0.02), 0.9, np.log(2), np.log(0.05 + DOUBTLESS), 0.95, 0.0]
    assert row == pytest.approx([*cup, *disc])
    [other] = Plausibility().vectors([observation(shape=dict(reversed(ANSWER.items())), embedding=())])
    assert np.array_equal(other, row), "the order of the names and the embedding are nothing to it"


@pytest.mark.parametrize(
    "changes",
    [{"cup.empty": 1.0, "cup.area": None}, {"disc.entropy": None}, {"cup.area": 0.0}, {"disc.probability": np.nan}],
)
def test_an_answer_that_cannot_be_measured_is_a_row_of_nan(changes: dict[str, float | None]) -> None:
    shape = {name: value for name, value in {**ANSWER, **changes}.items() if value is not None}
    rows = Plausibility().vectors([observation(shape=ANSWER), observation(shape=shape)])
    assert np.isnan(rows).all(axis=1).tolist() == [False, True]


def test_acquisition_has_sizes_and_numbers_for_names() -> None:
    plain, tagged, large = Acquisition().vectors(
        [observation(), observation(acquisition={**FIELD, "model": "X1"}),
         observation(acquisition={**FIELD, "width": 513.0})]
    )  # fmt: skip
    assert plain[:7] == pytest.approx([*np.log([512, 400, 0.7, 1.0, 0.9, 4.5]), 0.3])
    assert (plain != tagged).tolist() == [False] * 9 + [True] + [False] * 3
    assert (plain != large).tolist() == [True] + [False] * 6 + [True] + [False] * 5


def test_a_name_says_nothing_where_the_reference_has_none_and_old_references_go_without_the_new_tags() -> None:
    rng = np.random.default_rng(0)

    def seen(count: int, **tags: str) -> list[Observation]:
        fields = [{**FIELD, "field.area": float(rng.uniform(0.6, 0.8)), **tags} for _ in range(count)]
        return [Observation(str(i), "t", "A", "", "", 0, 0.0, (), {}, field) for i, field in enumerate(fields)]

    found = fit({"A": seen(200)}, DriftConfig(streams=("acquisition",)), extractor="", seed=0)
    scorer = found.scorer("A", "acquisition")
    plain = seen(20)
    tagged = [replace(one, acquisition={**one.acquisition, "make": "Topcon", "lens": "50"}) for one in plain]
    assert scorer.p_values(tagged).tolist() == scorer.p_values(plain).tolist()
    assert Acquisition().vectors(tagged, 11).tolist() == Acquisition().vectors(tagged)[:, :11].tolist()


def test_surprise_is_minus_the_logarithm_of_a_smoothed_frequency() -> None:
    """Three of one value, one of another, mixed with 0.002 of anything."""
    found = frequency.count(np.array([7.0, 3.0, 7.0, 7.0]))
    chances = [0.998 * 0.75 + 0.002, 0.998 * 0.25 + 0.002, 0.002, 0.002]
    assert found.surprise(np.array([7.0, 3.0, 5.0, np.nan])) == pytest.approx(-np.log(chances))


def test_a_new_camera_model_alone_is_strange_and_sizes_that_are_all_unique_are_not() -> None:
    rng = np.random.default_rng(0)

    def seen(count: int, first: int, **tags: str) -> list[Observation]:
        fields = [{**FIELD, "field.area": float(rng.uniform(0.6, 0.8)), **tags} for _ in range(count)]
        return [Observation(str(first + i), "t", "A", "", "", 0, 0.0, (), {}, field) for i, field in enumerate(fields)]

    found = fit({"A": seen(200, 0, model="X1")}, DriftConfig(streams=("acquisition",)), extractor="", seed=0)
    scorer = found.scorer("A", "acquisition")
    assert scorer.p_values(seen(50, 300, model="X1")).mean() == pytest.approx(0.5, abs=0.12)
    assert (scorer.p_values(seen(50, 400, model="X2")) <= 2 / 201).mean() > 0.9
    crops = [Observation(str(i), "t", "A", "", "", 0, 0.0, (), {}, {**FIELD, "width": 500.0 + i}) for i in range(200)]
    own = fit({"A": crops[::2]}, DriftConfig(streams=("acquisition",)), extractor="", seed=0)
    assert own.scorer("A", "acquisition").p_values(crops[1::2]).mean() == pytest.approx(0.5, abs=0.12)
