from pathlib import Path

import pytest
from pydantic import Field

from parfocal.core.config import Config
from parfocal.core.errors import UsageError


class Inner(Config):
    steps: int = Field(default=10, gt=0)
    names: tuple[str, ...] = ("a",)


class Outer(Config):
    task: str = "fundus"
    train: Inner = Inner()


def test_a_file_and_overrides_are_laid_over_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("train:\n  steps: 20\n")
    config = Outer.load(file, ["train.names=[x, y]", "task=lung"])
    assert config == Outer(task="lung", train=Inner(steps=20, names=("x", "y")))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.stepz=3", "train.stepz: Extra inputs"),
        ("train.steps=0", "train.steps: Input should be greater than 0"),
        ("train.steps", "cannot read the override"),
        ("task.x.y=1", None),
    ],
)
def test_a_wrong_override_names_its_key(override: str, message: str | None) -> None:
    with pytest.raises(UsageError, match=message):
        Outer.load(None, [override])


def test_a_broken_file_is_a_usage_error_that_names_the_file(tmp_path: Path) -> None:
    for text in ("a: [", "- 1"):
        (tmp_path / "run.yaml").write_text(text)
        with pytest.raises(UsageError, match=r"run\.yaml"):
            Outer.load(tmp_path / "run.yaml")
    with pytest.raises(UsageError, match=r"missing\.yaml"):
        Outer.load(tmp_path / "missing.yaml")


def test_equal_settings_have_equal_canonical_form_and_digest() -> None:
    again = Outer.from_json(Outer().canonical_json())
    assert again == Outer()
    assert again.digest() == Outer().digest() != Outer(task="lung").digest()
    assert Outer.from_json("") == Outer()


def test_flat_keys_are_what_mlflow_gets() -> None:
    assert Outer().flat() == {"task": "fundus", "train.steps": 10, "train.names": '["a"]'}
