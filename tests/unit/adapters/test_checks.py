"""The champion's check draws with every network, on pictures of its task, and passes over what is not served."""

from pathlib import Path

import promotion_kit
import pytest

from parfocal import models
from parfocal.adapters import checks
from parfocal.core import manifest
from parfocal.core.bundle import BUNDLE, Bundle, OwnNetwork, StructureModel
from parfocal.inference.predictor import Predictor
from parfocal.preprocessing.ct import CtRecipe


def test_the_champion_of_another_task_is_held_against_its_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = models.ModelConfig(depth=1, width=4).spec()
    model = StructureModel(folder="bone", by_instrument={"B": OwnNetwork(folder="b")})
    spec = Bundle(
        task="bone", structures={"bone": model}, instruments=("A", "B"), datasets=(),
        recipe=CtRecipe(size=32).model_dump(mode="json"),
    )  # fmt: skip
    with manifest.new_folder(tmp_path / "bundle", "bundle") as scratch:
        for name in ("bone", "b"):
            models.save(models.build(network.name, network.parameters), network, scratch / name)
        (scratch / BUNDLE).write_text(spec.model_dump_json())
    asked: list[str] = []
    predict = Predictor.predict
    monkeypatch.setattr(
        Predictor, "predict", lambda self, image, who="": asked.append(who) or predict(self, image, who)
    )
    found = checks._agreeing(tmp_path / "bundle")
    assert found.level == "ok", found
    assert set(asked) == {"", "B"}


def test_a_champion_that_the_segmenter_does_not_serve_is_said_to_be_one(tmp_path: Path) -> None:
    promotion_kit.write_bundle(tmp_path / "bundle", "weights", slices=5)
    found = checks._agreeing(tmp_path / "bundle")
    assert (found.level, found.says.split(":")[0]) == ("ok", "not served by the segmenter")
