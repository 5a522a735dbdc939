import pytest

from parfocal.core.errors import UsageError
from parfocal.strategies import StrategyConfig, build
from parfocal.strategies.replay import Replay


def test_the_default_is_replay_with_all_of_its_settings_written_out() -> None:
    config = StrategyConfig()
    assert config.model_dump() == {
        "name": "replay",
        "new_share": 0.5,
        "interpolation": (0.0, 0.25, 0.5, 0.75, 1.0),
    }


def test_a_setting_reaches_the_strategy() -> None:
    strategy = build(StrategyConfig.load(overrides=["new_share=0.25", "interpolation=[0.5]"]))
    assert isinstance(strategy, Replay)
    assert (strategy.settings.new_share, strategy.settings.interpolation) == (0.25, (0.5,))


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("new_shore=0.5", "new_shore: Extra inputs are not permitted"),
        ("new_share=0", "new_share: Input should be greater than 0"),
        ("interpolation=[0.5, 1.5]", "interpolation: Value error, every value is in"),
        ("name=reply", "did you mean 'replay'"),
    ],
)
def test_a_wrong_setting_is_named(override: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        StrategyConfig.load(overrides=[override])


def test_a_setting_of_another_strategy_is_refused() -> None:
    with pytest.raises(UsageError, match="finetune: new_share"):
        StrategyConfig.parse({"name": "finetune", "new_share": 0.5})


def test_the_schema_shows_the_settings_of_every_strategy() -> None:
    properties = StrategyConfig.model_json_schema()["properties"]
    assert properties["new_share"]["default"] == 0.5
    assert properties["new_share"]["description"].startswith("replay: part of a batch")
