"""A localizer from `pretrain` through preprocess, train and retrain into the predictor, and what drift then sees."""

import math
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import data_kit
import learning_kit
import numpy as np
import pytest
from learning_kit import Untracked
from locator_kit import disc_at, locator, mask_at

from parfocal.core import bundle, manifest
from parfocal.core.bundle import Bundle, StructureModel
from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.types import Observation, Split
from parfocal.drift import reference
from parfocal.drift.reference import DriftConfig
from parfocal.inference import locator as locating
from parfocal.inference.locator import DESCRIPTION, FOLDER, WEIGHTS
from parfocal.inference.observe import describe
from parfocal.inference.predictor import Predictor
from parfocal.preprocessing.fundus import FundusRecipe
from parfocal.preprocessing.images import decode_image
from parfocal.preprocessing.locate import LocateConfig
from parfocal.preprocessing.shards import read_arrays, read_dataset
from parfocal.steps import gather, preprocess, preprocess_shard, pretrain, retrain, train
from parfocal.steps import locating as steps_locating

SEEK = (
    "pretrain.objective={name: localize, radius: true}", "pretrain.steps=180", "pretrain.validate_every=60",
    "pretrain.batch_size=16", "pretrain.learning_rate=0.02", "pretrain.augment={rotation: 30, shift: 0, zoom: [1, 1]}",
    "model.dropout_at=none", "model.depth=3", "model.width=8", "model.increment=1.5", "recipe.clahe_clip=0",
    "recipe.border=0", "train.steps=4", "retrain.train.steps=2",
)  # fmt: skip


def photos(folder: Path, count: int, seed: int, sizes: tuple[float, float] = (9, 20), prefix: str = "p") -> Path:
    """A disc of any size anywhere."""
    rng = np.random.default_rng(seed)
    for place, name in enumerate(data_kit.patients(count, prefix)):
        radius = rng.uniform(*sizes)
        x, y = (rng.uniform(radius + 4, side - radius - 4) for side in (160, 120))
        data_kit.write(folder / "images" / f"{name}.png", disc_at(x, y, radius, seed=1000 * seed + place))
        data_kit.write(folder / "disc" / f"{name}.png", mask_at(x, y, radius))
    return folder


def settings(*more: str, instrument: str = "A") -> learning_kit.RunConfig:
    return learning_kit.config(*SEEK, *more, instrument=instrument)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs, a dataset of the whole ones, and a localizer that learned from it."""
    made = tmp_path_factory.mktemp("locating")
    photos(made / "photos-a", 24, 1)
    preprocess.run(made / "photos-a", made / "a", settings(), champion=None, reporter=data_kit.Notes())
    rest = {"state": made / "state", "run": Untracked(), "reporter": data_kit.Notes()}
    pretrain.run([made / "a"], made / "localizer", settings(), key="l", **rest)
    config = settings(f"recipe.locate.model={made / 'localizer'}", "recipe.locate.side=5")
    preprocess.run(made / "photos-a", made / "located", config, champion=None, reporter=data_kit.Notes())
    train.run([made / "located"], made / "first", made / "memory", config, key="t", **rest)
    return made


def test_the_dataset_holds_where_it_was_found_the_locator_and_frames_of_one_scale(folder: Path) -> None:
    dataset = read_dataset(folder / "located")
    found = [case for case in dataset.cases if case.located is not None]
    assert len(found) > 0.8 * len(dataset.cases)
    assert set(dataset.unlocated) == {case.id for case in dataset.cases if case.located is None}
    off, ratios = [], []
    for case in found:
        mask = cv2.imread(str(folder / "located" / case.masks["disc"]), cv2.IMREAD_GRAYSCALE)
        rows, columns = np.nonzero(mask)
        radius = math.sqrt(len(rows) / math.pi)
        off.append(math.hypot(case.located.x - columns.mean(), case.located.y - rows.mean()) / radius)
        ratios.append(case.located.radius / radius)
    assert np.median(off) < 0.25
    assert 0.8 < np.median(ratios) < 1.25
    weights = manifest.read(folder / "localizer").files["weights.safetensors"]
    assert dataset.recipe.finds == LocateConfig(model=weights, side=5)
    sealed = manifest.read(folder / "located")
    assert sealed.files[f"{FOLDER}/{WEIGHTS}"] == weights
    assert [parent.kind for parent in sealed.parents] == ["pretrained"]
    shares = {}
    for name in ("a", "located"):
        arrays = learned_masks(folder / name)
        shares[name] = np.sqrt(arrays.mean((1, 2)))
    assert shares["located"].std() / shares["located"].mean() < 0.6 * shares["a"].std() / shares["a"].mean()


def test_shards_of_a_located_source_become_the_same_dataset_with_the_same_locator(folder: Path, tmp_path: Path) -> None:
    config = settings(f"recipe.locate.model={folder / 'localizer'}", "recipe.locate.side=5")
    told = {"champion": None, "reporter": data_kit.Notes()}
    parts = [tmp_path / "1", tmp_path / "2"]
    for part in parts:
        preprocess_shard.run(folder / "photos-a", part, config, shard=f"{part.name}/2", **told)
    made, expected = gather.run(parts, tmp_path / "all", config, **told), manifest.read(folder / "located")
    assert (made.parents, made.config) == (expected.parents, expected.config)
    differing = {name for name, _ in made.files.items() ^ expected.files.items()}
    assert differing <= {f"{FOLDER}/openvino.xml"}, "which no two exports of one network have alike"


def learned_masks(folder: Path) -> np.ndarray:
    found = read_arrays(folder, "disc", Split.TRAIN)
    assert found is not None
    return found.mask


def test_a_bundle_looks_where_training_looked_to_the_bit_and_answers_without_the_pretrained_folder(
    folder: Path, tmp_path: Path
) -> None:
    moved = shutil.copytree(folder / "first", tmp_path / "moved")
    predictor = Predictor(moved)
    dataset = read_dataset(folder / "located")
    for case in dataset.cases[:6]:
        image = decode_image((folder / "located" / case.image).read_bytes())
        found = predictor.predict(image)
        assert found.located == case.located
        if case.located is None:
            assert found.boxes["disc"] == FundusRecipe(border=0).box(predictor.bundle.structures["disc"], 120, 160)
    files = {place: manifest.read(folder / place).files for place in ("located", "first")}
    carried = {name for name in files["first"] if name.startswith(f"{FOLDER}/")}
    assert f"{FOLDER}/{DESCRIPTION}" in carried
    assert all(files["first"][name] == files["located"][name] for name in carried)
    program = (
        "import sys, pathlib, numpy; from parfocal.inference.predictor import Predictor; "
        "Predictor(pathlib.Path(sys.argv[1])).predict(numpy.zeros((90, 90, 3), numpy.uint8)); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program, str(moved)], check=False).returncode == 0, "it loads no torch"
    (moved / FOLDER / WEIGHTS).write_bytes(b"other")
    with pytest.raises(DataContractError, match="changed since it was sealed"):
        Predictor(moved)
    with pytest.raises(DataContractError, match="weights have changed"):
        Predictor(moved, verify=False)


def test_a_bundle_names_its_locator_by_checksum_and_a_swapped_export_is_not_carried_on(
    folder: Path, tmp_path: Path
) -> None:
    assert bundle.read(folder / "first").locator == locating.identity(folder / "first" / FOLDER)
    for place in ("located", "first"):
        shutil.copytree(folder / place, tmp_path / place)
        export = tmp_path / place / FOLDER / "openvino.bin"
        export.write_bytes(export.read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(DataContractError, match="files have changed since the bundle was made"):
        Predictor(tmp_path / "first", verify=False)
    (tmp_path / "made").mkdir()
    with pytest.raises(DataContractError, match="locator has changed since it was sealed") as refused:
        steps_locating.into_bundle(read_dataset(tmp_path / "located").recipe, tmp_path / "made", [tmp_path / "located"])
    assert str(refused.value.where).endswith("openvino.bin")


def test_a_new_instrument_is_framed_by_the_champions_locator_and_the_challenger_carries_it_on(
    folder: Path, tmp_path: Path
) -> None:
    photos(tmp_path / "photos-b", 12, 2, (6, 9), "q")
    config = settings(f"recipe.locate.model={folder / 'first'}", "recipe.locate.side=5", instrument="B")
    preprocess.run(tmp_path / "photos-b", tmp_path / "b", config, champion=folder / "first", reporter=data_kit.Notes())
    assert read_dataset(tmp_path / "b").recipe == read_dataset(folder / "located").recipe
    retrain.run(
        tmp_path / "b", folder / "first", tmp_path / "next", tmp_path / "memory", settings(instrument="B"),
        state=tmp_path / "state", key="r", run=Untracked(), reporter=data_kit.Notes(),
    )  # fmt: skip
    before, after = (manifest.read(place).files for place in (folder / "first", tmp_path / "next"))
    assert before[f"{FOLDER}/{DESCRIPTION}"] == after[f"{FOLDER}/{DESCRIPTION}"]
    assert bundle.read(tmp_path / "next").recipe == bundle.read(folder / "first").recipe
    Predictor(tmp_path / "next", "pytorch").predict(disc_at(80, 60, 10))
    with pytest.raises(DataContractError, match="another recipe"):
        preprocess.run(
            tmp_path / "photos-b", tmp_path / "c", settings(instrument="B"), champion=folder / "first",
            reporter=data_kit.Notes(),
        )  # fmt: skip


def test_pictures_without_anything_to_find_keep_the_trimmed_whole_and_are_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locating, "CERTAIN", 1.01)
    notes = data_kit.Notes()
    config = settings(f"recipe.locate.model={folder / 'localizer'}")
    preprocess.run(folder / "photos-a", tmp_path / "d", config, champion=None, reporter=notes)
    dataset = read_dataset(tmp_path / "d")
    assert len(dataset.unlocated) == len(dataset.cases) == 24
    assert any("found nothing it was certain of in 24 of 24 images" in note for note in notes.notes)
    assert np.array_equal(learned_masks(tmp_path / "d"), learned_masks(folder / "a"))


def test_what_is_no_localizer_is_refused_with_what_would_be_one(folder: Path, tmp_path: Path) -> None:
    def attempt(*more: str) -> None:
        config = settings(*more)
        preprocess.run(folder / "photos-a", tmp_path / "d", config, champion=None, reporter=data_kit.Notes())

    with pytest.raises(UsageError, match="no localizer here") as refused:
        attempt(f"recipe.locate.model={tmp_path}")
    assert "pretrain --objective localize" in refused.value.expected
    with pytest.raises(UsageError, match="named by its weights"):
        attempt(f"recipe.locate.model={'a' * 64}")
    assert not (tmp_path / "d").exists()


def test_a_localizer_that_learned_from_crops_is_refused(folder: Path, tmp_path: Path) -> None:
    config = settings(f"recipe.locate.model={folder / 'localizer'}", "recipe.locate.side=5", "pretrain.steps=1")
    rest = {"state": tmp_path / "state", "run": Untracked(), "reporter": data_kit.Notes()}
    pretrain.run([folder / "located"], tmp_path / "second", config, key="s", **rest)
    again = settings(f"recipe.locate.model={tmp_path / 'second'}")
    with pytest.raises(DataContractError, match="another one had cropped"):
        preprocess.run(folder / "photos-a", tmp_path / "d", again, champion=None, reporter=data_kit.Notes())


def test_a_localizer_that_learned_patients_who_are_held_out_here_is_refused(folder: Path, tmp_path: Path) -> None:
    config = settings(f"recipe.locate.model={folder / 'localizer'}", "split.initial=[20, 20, 60]")
    with pytest.raises(DataContractError, match="who are held out here"):
        preprocess.run(folder / "photos-a", tmp_path / "out", config, champion=None, reporter=data_kit.Notes())
    assert not (tmp_path / "out").exists()


def test_a_radius_cannot_be_learned_from_points_alone(tmp_path: Path) -> None:
    source = photos(tmp_path / "photos", 16, 3)
    shutil.rmtree(source / "disc")
    rows = "".join(f"{name},{name},80,60\n" for name in data_kit.patients(16))
    (source / "cases.csv").write_text("name,patient,disc_x,disc_y\n" + rows)
    preprocess.run(source, tmp_path / "a", settings(), champion=None, reporter=data_kit.Notes())
    rest = {"state": tmp_path / "state", "run": Untracked(), "reporter": data_kit.Notes()}
    with pytest.raises(DataContractError, match="does not say how large"):
        pretrain.run([tmp_path / "a"], tmp_path / "p", settings(), key="p", **rest)


class Toned:
    """Draws what is bright; its features are how its frame looks, in sixteen fields."""

    def described(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        grey = batch.mean(1)
        fields = [cv2.resize(one, (4, 4), interpolation=cv2.INTER_AREA).ravel() for one in grey]
        return (grey[:, None] > 0.5).astype(np.float32), np.array(fields, np.float32)

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        return self.described(batch)[0]


def observed(predictor: Predictor, seed: int, count: int, radius: float, dim: float = 1.0) -> list[Observation]:
    rng = np.random.default_rng(seed)
    found = []
    for place in range(count):
        size = radius * rng.uniform(0.9, 1.1)
        x, y = 80 + rng.uniform(-15, 15), 60 + rng.uniform(-15, 15)
        image = disc_at(x, y, size, seed=1000 * seed + place)
        image = np.rint(image * dim).astype(np.uint8)
        seen = describe(image, predictor.predict(image))
        found.append(
            Observation(
                id=f"{seed}-{place}", task="fundus", instrument="A", model_version="", reference_id="", seq=0, time=0.0,
                embedding=seen.embedding, shape=seen.shape, acquisition=seen.acquisition,
            )
        )  # fmt: skip
    return found


@pytest.mark.parametrize("located", [True, False])
def test_another_framing_alarms_framing_and_with_a_locator_not_appearance(located: bool) -> None:
    finds = LocateConfig(model="a" if located else "", side=5)
    recipe = FundusRecipe(size=32, border=0, clahe_clip=0, locate=finds)
    spec = Bundle(
        task="fundus", structures={"disc": StructureModel(folder="disc")}, recipe=recipe.model_dump(mode="json"),
        instruments=("A",), datasets=(),
    )  # fmt: skip
    predictor = Predictor.from_networks(spec, {"disc": Toned()}, locator() if located else None)
    fitted = reference.fit({"A": observed(predictor, 1, 60, 18)}, DriftConfig(), extractor="x", seed=0)
    streams = {name: fitted.scorer("A", name) for name in ("framing", "appearance")}

    def strange(radius: float, dim: float = 1.0) -> dict[str, float]:
        cases = observed(predictor, 2, 20, radius, dim)
        return {name: float(np.median(scorer.p_values(cases))) for name, scorer in streams.items()}

    usual, wider, dimmer = strange(18), strange(10), strange(18, 0.8)
    assert min(usual.values()) > 0.2
    assert wider["framing"] < 0.05
    assert (wider["appearance"] > 0.2) is located
    assert dimmer["framing"] > 0.2
    assert dimmer["appearance"] < 0.05
