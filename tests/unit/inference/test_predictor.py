import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from parfocal import models
from parfocal.core import manifest
from parfocal.core.bundle import BUNDLE, Bundle, Exported, StructureModel
from parfocal.core.errors import DataContractError, UsageError
from parfocal.inference.predictor import Predictor
from parfocal.inference.runtimes.openvino import OpenVINORuntime, export
from parfocal.models import ModelConfig
from parfocal.preprocessing.fundus import FundusRecipe
from parfocal.preprocessing.roi import Box, trim_box

RECIPE = FundusRecipe(size=64, clahe_clip=0)
DISC, CUP = StructureModel(folder="disc"), StructureModel(folder="cup", inside="disc")


def spec(**structures: StructureModel) -> Bundle:
    return Bundle(
        task="fundus",
        structures=structures or {"disc": DISC, "cup": CUP},
        recipe=RECIPE.model_dump(),
        instruments=("A",),
        datasets=(),
    )


def brighter_than(level: float):
    """A network that finds what is bright; the edge is soft, as a real one's is."""
    return lambda batch: np.clip((batch.mean(1, keepdims=True) - level) * 5 + 0.5, 0, 1).astype(np.float32)


NETWORKS = {"disc": brighter_than(0.3), "cup": brighter_than(0.7)}


def circle(height: int, width: int, row: float, column: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def photograph(*parts: tuple[np.ndarray, int], height: int = 300, width: int = 400) -> np.ndarray:
    image = np.full((height, width, 3), 10, np.uint8)
    for mask, grey in parts:
        image[mask] = grey
    return image


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_disc_and_cup_are_found_at_their_places_in_the_photograph() -> None:
    disc, cup = circle(300, 400, 140, 220, 50), circle(300, 400, 145, 225, 20)
    found = Predictor.from_networks(spec(), NETWORKS).predict(photograph((disc, 128), (cup, 255)))
    assert dice(found.masks["disc"], disc) > 0.97
    assert dice(found.masks["cup"], cup) > 0.97
    assert found.masks["disc"].dtype == np.bool_
    assert found.boxes["disc"] == trim_box(300, 400, RECIPE.border)
    assert found.boxes["cup"] is not None
    assert abs(found.boxes["cup"].height - 120) < 8, "the disc and a tenth of it on each side"
    assert {p.shape for p in found.probabilities.values()} == {(64, 64)}


def test_a_second_bright_spot_and_holes_are_not_part_of_the_disc() -> None:
    disc, lesion, vessel = (
        circle(300, 400, 140, 220, 50),
        circle(300, 400, 60, 90, 15),
        circle(300, 400, 130, 200, 12),
    )
    image = photograph((disc, 128), (lesion, 128), (vessel, 10))
    found = Predictor.from_networks(spec(disc=DISC), NETWORKS).predict(image)
    assert dice(found.masks["disc"], disc) > 0.97


def test_the_cup_ends_where_the_disc_ends() -> None:
    disc, glare = circle(300, 400, 140, 220, 50), np.zeros((300, 400), bool)
    glare[130:150, 200:275] = True  # brighter than a cup, from within the disc to beyond its edge
    networks = {"disc": lambda batch: ((batch.mean(1, keepdims=True) - 0.5) ** 2 < 0.01).astype(np.float32)}
    networks["cup"] = brighter_than(0.7)
    found = Predictor.from_networks(spec(), networks).predict(photograph((disc, 128), (glare, 255)))
    assert found.masks["cup"].any()
    assert not (found.masks["cup"] & ~found.masks["disc"]).any()


def test_without_a_disc_there_is_no_cup() -> None:
    found = Predictor.from_networks(spec(), NETWORKS).predict(photograph())
    assert not found.masks["disc"].any()
    assert not found.masks["cup"].any()
    assert found.boxes["cup"] is None
    assert set(found.probabilities) == {"disc"}


def test_a_structure_that_the_bundle_has_not_is_not_in_the_answer() -> None:
    found = Predictor.from_networks(spec(disc=DISC), NETWORKS).predict(photograph())
    assert set(found.masks) == set(found.boxes) == {"disc"}


def test_the_threshold_is_the_bundles() -> None:
    image = photograph((circle(300, 400, 140, 220, 50), 128))
    sizes = [
        Predictor.from_networks(spec(disc=DISC.model_copy(update={"threshold": t})), NETWORKS)
        .predict(image)
        .masks["disc"]
        .sum()
        for t in (0.1, 0.5, 0.9)
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[2]


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (40, 30)])
def test_tiny_photographs_are_answered(shape: tuple[int, int]) -> None:
    found = Predictor.from_networks(spec(), NETWORKS).predict(np.full((*shape, 3), 255, np.uint8))
    assert found.masks["cup"].shape == shape
    assert found.masks["disc"].any()


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4, 3), "u1")]
)
def test_what_is_no_photograph_is_refused(image: np.ndarray) -> None:
    with pytest.raises(DataContractError, match="cannot segment"):
        Predictor.from_networks(spec(), NETWORKS).predict(image)


def test_a_cup_without_a_disc_to_look_in_is_refused_at_once() -> None:
    with pytest.raises(DataContractError, match="cup is looked for inside disc"):
        Predictor.from_networks(spec(cup=CUP), NETWORKS)


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of two small networks that cross one half somewhere; only the disc's is exported."""
    import torch

    folder = tmp_path_factory.mktemp("made") / "bundle"
    config = ModelConfig(depth=2, width=8).spec()
    probe = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with manifest.new_folder(folder, "bundle") as scratch:
        for seed, name in enumerate(("disc", "cup")):
            model = models.build(config.name, config.parameters, seed=seed).eval()
            with torch.no_grad():
                model.head.bias -= model(probe).median()
            models.save(model, config, scratch / name)
            if name == "disc":
                export(model, scratch / name, 64)
        exported = {"openvino": Exported(file=OpenVINORuntime.file, agreement=0.999)}
        made = spec(disc=DISC.model_copy(update={"runtimes": exported}), cup=CUP)
        (scratch / BUNDLE).write_text(made.model_dump_json())
    return folder


def test_a_sealed_bundle_runs_exports_where_it_has_them_and_weights_elsewhere(sealed: Path) -> None:
    predictor = Predictor(sealed)
    assert predictor.runtimes == {"disc": "openvino", "cup": "pytorch"}
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    fast, slow = predictor.predict(image), Predictor(sealed, "pytorch").predict(image)
    np.testing.assert_allclose(fast.probabilities["disc"], slow.probabilities["disc"], atol=0.02)
    again = predictor.predict(image)
    assert all(np.array_equal(fast.masks[name], again.masks[name]) for name in ("disc", "cup"))


def test_a_runtime_that_a_structure_was_not_exported_for_is_named(sealed: Path) -> None:
    with pytest.raises(UsageError, match="cup was not exported for openvino"):
        Predictor(sealed, "openvino")
    with pytest.raises(UsageError, match="did you mean 'pytorch'"):
        Predictor(sealed, "torch")


def test_a_damaged_bundle_is_refused_by_the_file(sealed: Path, tmp_path: Path) -> None:
    for file in (file for file in sealed.rglob("*") if file.is_file()):
        copy = tmp_path / file.relative_to(sealed)
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(file.read_bytes())
    weights = tmp_path / "cup" / models.WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(DataContractError, match=r"cup/weights\.safetensors"):
        Predictor(tmp_path)


def test_a_recipe_of_another_kind_is_refused() -> None:
    other = spec().model_copy(update={"recipe": {"voxel": 1.5}})
    with pytest.raises(DataContractError, match="recipe cannot be read"):
        Predictor.from_networks(other, NETWORKS)


def ct_spec(structure: str = "bone", task: str = "bone", **recipe: object) -> Bundle:
    return spec(**{structure: StructureModel(folder=structure)}).model_copy(
        update={"task": task, "recipe": {"name": "ct", "windows": [[0, 1000]], **recipe}}
    )


def ct_slice(*parts: np.ndarray) -> np.ndarray:
    """Bone of 1000 HU in water, stored + 1024."""
    return np.where(np.logical_or.reduce(parts), 2024, 1024).astype(np.uint16)


@pytest.mark.parametrize("recipe", [{"size": 128}, {"size": 64, "tiles_a_slice": 4}])
def test_sixteen_bit_slices_are_answered_whole_or_in_tiles_that_overlap(recipe: dict) -> None:
    bones = circle(150, 200, 60, 50, 20), circle(150, 200, 90, 150, 15)
    found = Predictor.from_networks(ct_spec(**recipe), {"bone": brighter_than(0.5)}).predict(ct_slice(*bones))
    assert dice(found.masks["bone"], bones[0] | bones[1]) > (0.999 if "tiles_a_slice" in recipe else 0.95)
    shape = (150, 200) if "tiles_a_slice" in recipe else (128, 128)
    assert found.probabilities["bone"].shape == shape


def test_where_tiles_overlap_their_mean_counts() -> None:
    answers = iter(np.linspace(0, 1, 4))
    networks = {"bone": lambda batch: np.full((1, 1, 64, 64), next(answers), np.float32)}
    found = Predictor.from_networks(ct_spec(size=64, tiles_a_slice=1), networks).predict(np.zeros((64, 200), "u2"))
    columns = found.probabilities["bone"][0]  # tiles start at 0, 45, 91, 136
    assert np.allclose(columns[[0, 50, 80, 95, 199]], [0, 1 / 6, 1 / 3, 1 / 2, 1], atol=1e-6)


@pytest.mark.parametrize(("structure", "task", "pieces"), [("bone", "bone", 3), ("lung", "lung", 2), ("disc", "x", 1)])
def test_anatomy_says_how_many_pieces_are_kept(structure: str, task: str, pieces: int) -> None:
    parts = [circle(128, 128, 30, 30, 20), circle(128, 128, 90, 90, 15), circle(128, 128, 30, 100, 8)]
    made = ct_spec(structure, task, size=128)
    found = Predictor.from_networks(made, {structure: brighter_than(0.5)}).predict(ct_slice(*parts))
    assert [bool(found.masks[structure][part].all()) for part in parts] == [i < pieces for i in range(3)]


def test_a_picture_of_another_kind_than_the_recipes_is_refused() -> None:
    with pytest.raises(DataContractError, match="no Hounsfield units"):
        Predictor.from_networks(ct_spec(), {"bone": brighter_than(0.5)}).predict(photograph())
    with pytest.raises(DataContractError, match="uint16 grey"):
        Predictor.from_networks(spec(), NETWORKS).predict(np.zeros((40, 40), np.uint16))


def test_an_exported_bundle_answers_without_pytorch(sealed: Path, tmp_path: Path) -> None:
    only_disc = tmp_path / "bundle"
    with manifest.new_folder(only_disc, "bundle") as scratch:
        (scratch / "disc").mkdir()
        for file in (sealed / "disc").iterdir():
            (scratch / "disc" / file.name).write_bytes(file.read_bytes())
        exported = {"openvino": Exported(file=OpenVINORuntime.file, agreement=0.999)}
        made = spec(disc=DISC.model_copy(update={"runtimes": exported}))
        (scratch / BUNDLE).write_text(made.model_dump_json())
    program = f"""
import sys, numpy as np
from parfocal.inference.predictor import Predictor
found = Predictor({str(only_disc)!r}).predict(np.zeros((90, 120, 3), np.uint8))
print([name for name in ("torch", "lightning_fabric") if name in sys.modules], found.masks["disc"].shape)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[-2] == "[] (90, 120)"


def test_boxes_are_values() -> None:
    found = Predictor.from_networks(spec(disc=DISC), NETWORKS).predict(photograph())
    assert isinstance(found.boxes["disc"], Box)


def test_warming_runs_every_network_and_refuses_one_that_gives_no_numbers() -> None:
    asked: list[str] = []

    def network(name: str, value: float) -> Callable[[np.ndarray], np.ndarray]:
        def run(batch: np.ndarray) -> np.ndarray:
            asked.append(name)
            return np.full((len(batch), 1, *batch.shape[2:]), value, np.float32)

        return run

    Predictor.from_networks(spec(), {"disc": network("disc", 0.0), "cup": network("cup", 0.0)}).warm(times=2)
    assert asked == ["disc", "disc", "cup", "cup"]
    broken = Predictor.from_networks(spec(), {"disc": network("disc", 0.0), "cup": network("cup", float("nan"))})
    with pytest.raises(DataContractError, match="cup network gives no numbers"):
        broken.warm()


def test_features_are_those_of_the_network_that_gives_them() -> None:
    class Described:
        def __call__(self, batch: np.ndarray) -> np.ndarray:
            return self.described(batch)[0]

        def described(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return NETWORKS["disc"](batch), np.arange(4, dtype=np.float32)[None]

    image = photograph((circle(300, 400, 150, 200, 40), 128))
    found = Predictor.from_networks(spec(disc=DISC), {"disc": Described()}).predict(image)
    assert found.features["disc"].tolist() == [0, 1, 2, 3]
    assert not Predictor.from_networks(spec(disc=DISC), NETWORKS).predict(image).features
