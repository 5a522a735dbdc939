"""MLflow's pyfunc finds the bundle and speaks arrays and encoded images; the network itself is not needed here."""

import base64
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest
from promotion_kit import platform, write_bundle

from parfocal.adapters.bundle_flavor import _load_pyfunc
from parfocal.core.errors import DataContractError

IMAGE = np.zeros((6, 8, 3), np.uint8)
IMAGE[2:4, 3:6] = 255


class Bright:
    """Takes for the disc what is bright."""

    def __init__(self, folder: Path) -> None:
        assert (folder / "bundle.json").is_file()

    def predict(self, image: np.ndarray) -> SimpleNamespace:
        return SimpleNamespace(masks={"disc": image.mean(axis=2) > 128})


@pytest.fixture(autouse=True)
def predictor(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("parfocal.inference.predictor")
    module.Predictor = Bright  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "parfocal.inference.predictor", module)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "bundle", "weights")
    return tmp_path / "bundle"


def png() -> bytes:
    return cv2.imencode(".png", IMAGE)[1].tobytes()


def test_arrays_give_masks_of_zeros_and_ones(bundle: Path) -> None:
    (found,) = _load_pyfunc(str(bundle)).predict([IMAGE])
    assert found["disc"].dtype == np.uint8
    assert np.array_equal(found["disc"], IMAGE[..., 0] // 255)


@pytest.mark.parametrize("image", [png(), base64.b64encode(png()).decode()])
def test_encoded_images_give_png_masks(bundle: Path, image: bytes | str) -> None:
    for table in ({"image": [image]}, pd.DataFrame({"image": [image]})):
        (found,) = _load_pyfunc(str(bundle)).predict(table)
        mask = cv2.imdecode(np.frombuffer(base64.b64decode(found["disc"]), np.uint8), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(mask, IMAGE[..., 0])


@pytest.mark.parametrize("wrong", [{"picture": [png()]}, {"image": [b"no image"]}, {"image": [b""]}, 7])
def test_what_is_no_image_is_said(bundle: Path, wrong: object) -> None:
    with pytest.raises(DataContractError, match="image"):
        _load_pyfunc(str(bundle)).predict(wrong)


def test_mlflow_loads_the_champion(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # MLflow puts its own there, which is not to stay
    real = platform(tmp_path / "state")
    real.models.set_alias("fundus", "champion", real.models.register(bundle, "fundus").version)
    mlflow.set_tracking_uri(real.settings.mlflow_uri)
    (found,) = mlflow.pyfunc.load_model("models:/fundus@champion").predict([IMAGE])
    assert np.array_equal(found["disc"], IMAGE[..., 0] // 255)
    mlflow.set_tracking_uri(None)
