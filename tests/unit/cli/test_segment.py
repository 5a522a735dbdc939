import json
from pathlib import Path

import cv2
import evaluation_kit
import numpy as np
import pytest
import reader_kit
import SimpleITK
from click.testing import CliRunner, Result

from parfocal import models
from parfocal.cli.segment import segment
from parfocal.core import manifest
from parfocal.core.bundle import BUNDLE, Bundle, Exported, StructureModel
from parfocal.core.errors import DataContractError, UsageError
from parfocal.inference import sources
from parfocal.models import ModelConfig
from parfocal.preprocessing.ct import CtRecipe
from parfocal.preprocessing.fundus import FundusRecipe

RECIPE = FundusRecipe(size=64, clahe_clip=0)
bright = evaluation_kit.bright
pytestmark = pytest.mark.usefixtures("bright")


def sealed(out: Path, objective: str = "segment") -> Path:
    """A bundle that finds what is bright, or one of six channels that was never trained."""
    interact = objective == "interact"
    runtimes = {} if interact else {evaluation_kit.NAME: Exported(file=evaluation_kit.Bright.file, agreement=1.0)}
    structures = {
        name: StructureModel(folder=name, inside=inside, runtimes=runtimes, objective=objective)
        for name, inside in (("disc", None), ("cup", "disc"))
    }
    spec = Bundle(
        task="fundus", structures=structures, recipe=RECIPE.model_dump(), instruments=("A",), datasets=()
    )  # fmt: skip
    with manifest.new_folder(out, "bundle") as scratch:
        (scratch / BUNDLE).write_text(spec.model_dump_json())
        for name, level in (("disc", 0.3), ("cup", 0.7)):
            if interact:
                network = ModelConfig(depth=2, width=6).spec(in_channels=6)
                models.save(models.build(network.name, network.parameters), network, scratch / name)
            else:
                (scratch / name).mkdir()
                (scratch / name / evaluation_kit.Bright.file).write_text(str(level))
    return out


def photograph(file: Path, cup: int = 20, column: int = 220, bite: bool = False) -> Path:
    image = np.full((300, 400, 3), 10, np.uint8)
    cv2.circle(image, (column, 140), 50, (128, 128, 128), -1)
    cv2.circle(image, (column, 140), cup, (255, 255, 255), -1)
    if bite:
        image[136:146, : column - 30] = 10
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), image)
    return file


def run(*words: object) -> Result:
    return CliRunner().invoke(segment, list(map(str, words)), catch_exceptions=False)


def test_a_folder_of_photographs_becomes_masks_overlays_and_indicators(tmp_path: Path) -> None:
    photograph(tmp_path / "photos" / "a.png")
    photograph(tmp_path / "photos" / "b.jpg", cup=42)
    (tmp_path / "photos" / "notes.txt").write_text("no picture")
    done = run(tmp_path / "photos", "--model", sealed(tmp_path / "m"), "--out", tmp_path / "out", "--eye", "left")
    assert done.exit_code == 0, done.output
    assert "suspicion none" in done.output or "suspicion some" in done.output
    assert "suspicion raised" in done.output
    assert "no diagnosis" in done.output
    told = {"results.json", "cases.csv", "problems.json", "report.html", "summary.md", "manifest.json"}
    drawn = {f"{name}-{what}" for name in "ab" for what in ("disc.png", "cup.png", "overlay.jpg")}
    assert {file.name for file in (tmp_path / "out").iterdir()} == told | drawn
    assert manifest.verify(tmp_path / "out", "segmentation").parents[0].kind == "bundle"
    disc = cv2.imread(str(tmp_path / "out" / "a-disc.png"), cv2.IMREAD_UNCHANGED)
    assert disc.shape == (300, 400)
    assert np.unique(disc).tolist() == [0, 255]
    assert abs((disc > 0).sum() / (np.pi * 50**2) - 1) < 0.05
    assert cv2.imread(str(tmp_path / "out" / "a-overlay.jpg")).shape == (300, 400, 3)
    kept = json.loads((tmp_path / "out" / "results.json").read_text())
    assert kept["a"]["pixels"]["disc"] == (disc > 0).sum()
    assert "no diagnosis" in kept["b"]["glaucoma"]["warning"]


def test_json_is_one_object_and_two_eyes_of_a_person_are_compared(tmp_path: Path) -> None:
    right, left = photograph(tmp_path / "r.png", cup=15), photograph(tmp_path / "l.png", cup=30)
    words = ["--eye", "right", "--eye", "left", "--same-person", "--json", "--quiet"]
    done = run(right, left, "--model", sealed(tmp_path / "m"), "--out", tmp_path / "out", *words)
    found = json.loads(done.stdout)["results"]
    asymmetry = {name: one["glaucoma"]["indicators"][2] for name, one in found.items()}
    assert asymmetry["r"]["value"] == asymmetry["l"]["value"] == pytest.approx(0.3, abs=0.04)
    assert asymmetry["r"]["reading"] == "outside"
    assert found["r"]["glaucoma"]["indicators"][3]["reading"] != "not read"


def test_post_processing_is_chosen_by_name_and_order(tmp_path: Path) -> None:
    photo, model = photograph(tmp_path / "a.png", bite=True), sealed(tmp_path / "m")
    pixels = {}
    for steps in ("", "largest,holes", "largest,holes,convex", "none"):
        out = tmp_path / f"out-{steps}"
        run(photo, "--model", model, "--out", out, *(["--post", steps] if steps else []))
        pixels[steps] = json.loads((out / "results.json").read_text())["a"]["pixels"]["disc"]
    assert pixels[""] == pixels["largest,holes"]
    assert pixels["largest,holes,convex"] > pixels[""]
    with pytest.raises(UsageError, match="did you mean 'ellipse'"):
        run(photo, "--model", model, "--out", tmp_path / "x", "--post", "elipse")
    assert not (tmp_path / "x").exists(), "nothing is written before the words are understood"


def test_clicks_steer_a_model_that_was_trained_with_them(tmp_path: Path) -> None:
    photo, model = photograph(tmp_path / "a.png"), sealed(tmp_path / "m", "interact")
    words = [photo, "--model", model, "--post", "none", "--structure", "disc"]
    done = run(*words, "--out", tmp_path / "one", "--clicks", "140,220 -60,60")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "one" / "a-disc.png").exists()
    assert not (tmp_path / "one" / "a-cup.png").exists()
    with pytest.raises(UsageError, match="cannot read the click 'here'"):
        run(*words, "--out", tmp_path / "two", "--clicks", "here")
    with pytest.raises(UsageError, match="where it is clicked"):
        run(photo, "--model", model, "--out", tmp_path / "three")
    with pytest.raises(UsageError, match="does not answer clicks"):
        run(photo, "--model", sealed(tmp_path / "p"), "--out", tmp_path / "four", "--clicks", "140,220")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["a.png", "a.jpg"], "two images are called a"),
        (["a.png", "b.png", "--clicks", "1,1"], "--clicks belong to one image"),
        (["a.png", "b.png", "c.png", "--eye", "left", "--eye", "right"], "--eye 2 times for 3 images"),
        (["a.png", "--same-person"], "--same-person with 1 images"),
    ],
)
def test_words_that_do_not_fit_together_are_refused_before_anything_is_read(
    words: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "a.jpg", "b.png", "c.png"):
        Path(name).touch()
    with pytest.raises(UsageError, match=says):
        run(*words, "--model", "nowhere", "--out", "out")


def test_bad_files_are_named(tmp_path: Path) -> None:
    model = sealed(tmp_path / "m")
    with pytest.raises(DataContractError, match="no such image"):
        run(tmp_path / "gone.png", "--model", model, "--out", tmp_path / "a")
    (tmp_path / "cut.png").write_bytes(photograph(tmp_path / "a.png").read_bytes()[:40])
    with pytest.raises(DataContractError, match=r"cut\.png"):
        run(tmp_path / "cut.png", "--model", model, "--out", tmp_path / "b")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    with pytest.raises(UsageError, match="already there"):
        run(tmp_path / "a.png", "--model", model, "--out", tmp_path / "full")


def test_a_volume_is_labelled_in_its_own_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slices = np.full((3, 60, 80), -200, np.int16)  # HU
    slices[:, 20:40, 30:60] = 1200
    scan = SimpleITK.GetImageFromArray(slices)
    scan.SetSpacing((0.5, 0.5, 2.0))
    scan.SetOrigin((3.0, -4.0, 5.0))
    SimpleITK.WriteImage(scan, str(tmp_path / "scan.nii.gz"))
    recipe = CtRecipe(size=64, windows=((0, 1500),))
    runtimes = {evaluation_kit.NAME: Exported(file=evaluation_kit.Bright.file, agreement=1.0)}
    spec = Bundle(
        task="bone",
        structures={"bone": StructureModel(folder="bone", runtimes=runtimes)},
        recipe=recipe.model_dump(),
        instruments=("A",),
        datasets=(),
    )
    with manifest.new_folder(tmp_path / "m", "bundle") as scratch:
        (scratch / BUNDLE).write_text(spec.model_dump_json())
        (scratch / "bone").mkdir()
        (scratch / "bone" / evaluation_kit.Bright.file).write_text("0.5")
    done = run(tmp_path / "scan.nii.gz", "--model", tmp_path / "m", "--out", tmp_path / "out", "--json", "--quiet")
    written = SimpleITK.ReadImage(str(tmp_path / "out" / "scan-labels.nii.gz"))
    assert (written.GetOrigin(), written.GetSpacing()) == (scan.GetOrigin(), scan.GetSpacing())
    labels = SimpleITK.GetArrayFromImage(written)
    assert (labels[:, 25:35, 35:55] == 1).all()
    assert (labels == 1).sum() == pytest.approx(3 * 20 * 30, rel=0.1)
    assert json.loads(done.stdout)["results"]["scan"]["voxels"]["bone"] == (labels == 1).sum()
    with pytest.raises(UsageError, match="a volume is not clicked"):
        run(tmp_path / "scan.nii.gz", "--model", tmp_path / "m", "--out", tmp_path / "b", "--clicks", "1,1")
    with pytest.raises(UsageError, match="--post\\) is for pictures"):
        run(tmp_path / "scan.nii.gz", "--model", tmp_path / "m", "--out", tmp_path / "c", "--post", "convex")


def test_a_picture_that_cannot_be_read_is_told_at_the_end_and_costs_the_others_nothing(tmp_path: Path) -> None:
    photograph(tmp_path / "photos" / "a.png")
    photograph(tmp_path / "photos" / "c.png", column=200)
    (tmp_path / "photos" / "b.png").write_bytes((tmp_path / "photos" / "a.png").read_bytes()[:200])
    model = sealed(tmp_path / "m")
    with pytest.raises(DataContractError, match=r"(?s)1 of 3 .*b\.png: unreadable or cut short"):
        run(tmp_path / "photos", "--model", model, "--out", tmp_path / "out")
    assert sorted(json.loads((tmp_path / "out" / "results.json").read_text())) == ["a", "c"]
    with pytest.raises(DataContractError, match="unreadable or cut short"):
        run(tmp_path / "photos" / "b.png", "--model", model, "--out", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_dicom_is_known_by_its_bytes_a_slice_asks_for_its_series_and_a_photograph_is_one_picture(
    tmp_path: Path,
) -> None:
    reader_kit.series(tmp_path / "ct", reader_kit.hu(0))
    with pytest.raises(DataContractError, match="one DICOM slice"):
        sources.decoded(tmp_path / "ct" / "IM0001", "ct")
    (series,) = sources.find([tmp_path / "ct"], "ct")
    assert (series.file, series.volume) == (tmp_path / "ct", True)
    pixels = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    reader_kit.dicom(tmp_path / "eyes" / "E1", pixels, x0008_0060="OP")
    (eye,) = sources.find([tmp_path / "eyes"], "colour fundus photograph")
    assert (eye.file, eye.volume) == (tmp_path / "eyes" / "E1", False)
    assert np.array_equal(sources.decoded(tmp_path / "eyes" / "E1", "colour fundus photograph"), pixels[..., ::-1])
    assert sources.laterality(tmp_path / "eyes" / "E1") is None
    reader_kit.dicom(tmp_path / "eyes" / "E2", pixels, x0008_0060="OP", x0020_0062="R ")
    assert sources.laterality(tmp_path / "eyes" / "E2") == "right"
    with pytest.raises(DataContractError, match="modality OP"):
        sources.decoded(tmp_path / "eyes" / "E1", "x-ray")
