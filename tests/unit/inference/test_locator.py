import json
import math
from pathlib import Path

import numpy as np
import pytest
from locator_kit import PLAIN, disc_at, locator

from parfocal import models
from parfocal.core.bundle import Bundle, StructureModel
from parfocal.core.errors import DataContractError
from parfocal.core.task import Structure
from parfocal.inference import locator as locating
from parfocal.inference.locator import NetworkLocator, agreement
from parfocal.inference.predictor import Predictor
from parfocal.models import ModelConfig
from parfocal.preprocessing.fundus import FundusRecipe
from parfocal.preprocessing.locate import LocateConfig

FUNDUS_DISC = Structure("disc")


@pytest.mark.parametrize(
    ("x", "y", "radius", "height", "width"),
    [
        (40.3, 61.8, 6.0, 120, 160),
        (120.0, 30.0, 20.0, 120, 160),
        (33.0, 30.0, 14.0, 64, 64),
        (300.0, 90.0, 9, 400, 600),
    ],
)
def test_the_centre_and_radius_are_those_of_the_source_however_it_was_framed(
    x: float, y: float, radius: float, height: int, width: int
) -> None:
    found = locator()(disc_at(x, y, radius, height, width))
    assert found is not None
    assert math.hypot(found.x - x, found.y - y) < 0.08 * radius
    assert found.radius == pytest.approx(radius, rel=0.1)
    assert found.certainty > 0.8


def test_agreement_by_hand() -> None:
    assert agreement((10, 10, 5), (10, 10, 5)) == 1
    assert agreement((10, 10, 5), (12, 10, 10)) == pytest.approx(0)  # near, but an octave apart
    assert agreement((10, 10, 10), (13, 14, 10)) == pytest.approx(0.5)
    assert agreement((0, 0, 1), (100, 0, 1)) == 0


def test_looks_that_do_not_agree_are_no_answer() -> None:
    rng = np.random.default_rng(0)
    adrift = NetworkLocator(
        lambda batch: np.array([[*rng.random(2), math.log(0.05)] for _ in batch], np.float32), PLAIN
    )
    assert adrift(disc_at(80, 60, 10)) is None


def test_an_answer_that_follows_the_frame_and_not_the_picture_is_none() -> None:
    corner = NetworkLocator(lambda batch: np.array([[0.2, 0.3, math.log(0.1)]] * len(batch), np.float32), PLAIN)
    assert corner(disc_at(80, 60, 10)) is None


def spec_of(recipe: FundusRecipe) -> Bundle:
    return Bundle(
        task="fundus", structures={"disc": StructureModel(folder="disc")}, recipe=recipe.model_dump(mode="json"),
        instruments=("A",), datasets=(),
    )  # fmt: skip


class Threshold:
    """Finds what is bright, and remembers how much of its frame that was."""

    def __init__(self) -> None:
        self.shares: list[float] = []

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        above = (batch.mean(1, keepdims=True) > 0.5).astype(np.float32)
        self.shares.append(float(above.mean()))
        return above


def test_the_cascade_crops_about_the_answer_to_one_scale_and_its_masks_lie_in_the_source() -> None:
    recipe = FundusRecipe(size=64, clahe_clip=0.0, locate=LocateConfig(model="a", side=5))
    network = Threshold()
    predictor = Predictor.from_networks(spec_of(recipe), {"disc": network}, locator())
    for x, y, radius, height, width in ((40, 60, 6, 120, 160), (120, 40, 15, 120, 160), (300, 100, 9, 300, 500)):
        found = predictor.predict(disc_at(x, y, radius, height, width))
        rows, columns = np.nonzero(found.masks["disc"])
        assert (rows.mean(), columns.mean()) == pytest.approx((y, x), abs=0.6)
        assert math.sqrt(len(rows) / math.pi) == pytest.approx(radius, rel=0.1)
        box = found.boxes["disc"]
        assert box.height == box.width == pytest.approx(5 * radius, rel=0.12)
        assert found.located is not None
    assert np.ptp(network.shares) < 0.2 * np.mean(network.shares)


def test_where_it_is_not_certain_the_trimmed_picture_is_looked_at() -> None:
    recipe = FundusRecipe(size=64, locate=LocateConfig(model="a"))
    predictor = Predictor.from_networks(spec_of(recipe), {"disc": Threshold()}, lambda image: None)
    found = predictor.predict(disc_at(80, 60, 10))
    assert found.located is None
    assert found.boxes["disc"] == FundusRecipe().box(FUNDUS_DISC, 120, 160)


def test_a_recipe_that_asks_for_a_locator_is_not_run_without_one() -> None:
    recipe = FundusRecipe(size=64, locate=LocateConfig(model="a"))
    with pytest.raises(DataContractError, match="asks for a locator"):
        Predictor.from_networks(spec_of(recipe), {"disc": Threshold()})


def pretrained(folder: Path, **options: object) -> Path:
    spec = ModelConfig(name="localizer", depth=2, width=4, options=options).spec()
    models.save(models.build(spec.name, spec.parameters, seed=1), spec, folder)
    return folder


def test_an_installed_locator_answers_by_its_export_as_by_its_weights(tmp_path: Path) -> None:
    source = pretrained(tmp_path / "p", radius=True)
    said = locating.install(source, tmp_path / "l", recipe=PLAIN.model_dump(mode="json"), uri="u", checksum="c")
    assert said.runtimes == ("openvino",)
    assert locating.read(tmp_path / "l") == said
    recipe = FundusRecipe(locate=LocateConfig(model=said.weights))
    (tmp_path / "l").rename(tmp_path / "locator")
    image = disc_at(80, 60, 10)
    whole = PLAIN.box(FUNDUS_DISC, 120, 160)
    found = [locating.of(tmp_path, recipe, runtime) for runtime in ("auto", "pytorch")]
    looks = [one._looks(image, whole, locating.TURNS) for one in found]  # type: ignore[union-attr, arg-type]
    assert np.allclose(looks[0], looks[1], rtol=1e-3)
    assert not np.allclose(looks[0][0], looks[0][1], rtol=1e-3), "it sees how the picture is turned"
    with pytest.raises(DataContractError, match="not the localizer that the recipe names"):
        locating.of(tmp_path, FundusRecipe(locate=LocateConfig(model="b" * 64)))
    assert locating.of(tmp_path, FundusRecipe()) is None
    with pytest.raises(DataContractError, match="description cannot be read"):
        locating.of(tmp_path / "nowhere", recipe)


def test_a_locator_whose_files_have_changed_is_not_loaded(tmp_path: Path) -> None:
    place = tmp_path / "locator"
    said = locating.install(pretrained(tmp_path / "p", radius=True), place, recipe=PLAIN.model_dump(mode="json"),
                            uri="u", checksum="c")  # fmt: skip
    recipe, checksum = FundusRecipe(locate=LocateConfig(model=said.weights)), locating.identity(place)
    assert locating.of(tmp_path, recipe, checksum=checksum) is not None
    export, weights = place / "openvino.bin", place / locating.WEIGHTS
    kept = export.read_bytes()
    export.write_bytes(kept[:-4] + b"\0\0\0\1")
    with pytest.raises(DataContractError, match="files have changed since the bundle was made"):
        locating.of(tmp_path, recipe, checksum=checksum)
    export.write_bytes(kept)
    spec = ModelConfig(name="localizer", depth=2, width=4, options={"radius": True}).spec()
    models.save(models.build(spec.name, spec.parameters, seed=2), spec, tmp_path / "other")
    weights.write_bytes((tmp_path / "other" / locating.WEIGHTS).read_bytes())
    for runtime in ("auto", "pytorch"):
        with pytest.raises(DataContractError, match="weights have changed") as refused:
            locating.of(tmp_path, recipe, runtime)
    assert str(refused.value.where).endswith(locating.WEIGHTS)


def test_a_localizer_without_a_radius_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataContractError, match="does not say how large") as refused:
        locating.install(pretrained(tmp_path / "p"), tmp_path / "l", recipe=PLAIN.model_dump(), uri="", checksum="")
    assert "objective.radius=true" in refused.value.next


def test_a_recipe_without_locate_is_written_as_it_always_was() -> None:
    assert "locate" not in FundusRecipe().model_dump(mode="json")
    assert "locate" not in json.loads(spec_of(FundusRecipe()).model_dump_json())["recipe"]
