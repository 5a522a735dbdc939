"""Numbers that the loop promises are the defaults; nobody has to set them."""

from parfocal_serving.monitor.settings import MonitorSettings
from parfocal_serving.segmenter.outbox import FLUSH
from parfocal_serving.segmenter.settings import SegmenterSettings

from parfocal.cli.demo.settings import POPULATIONS
from parfocal.core.types import Split
from parfocal.drift.config import DriftConfig
from parfocal.preprocessing.split import SplitConfig, counts
from parfocal.steps.config import RunConfig
from parfocal.triggers.policy import TriggerConfig


def test_drift_declares_20000_cases_and_half_a_sigma_and_a_budget_of_one_a_month() -> None:
    drift = DriftConfig()
    assert (drift.arl0, drift.k, drift.false_alarms_a_month) == (20_000, 0.5, 1.0)


def test_the_demos_reference_has_more_than_1000_cases() -> None:
    camera = POPULATIONS["A"]
    trained = counts(len(camera.labelled), SplitConfig().initial)[list(Split).index(Split.TRAIN)]
    assert len(camera.unlabelled) >= 1000
    assert len(camera.labelled) - trained > 100, "and those that nobody trained on"


def test_a_retrain_wants_30_labelled_cases_of_which_15_are_test() -> None:
    trigger = TriggerConfig()
    assert (trigger.minimum_cases, trigger.minimum_test, trigger.labels_needed) == (30, 15, 30)


def test_the_memory_keeps_20_cases_an_instrument_drawn_at_random() -> None:
    retrain = RunConfig().retrain
    assert (retrain.exemplars, retrain.selection) == (20, "random")


def test_observations_are_kept_400_days_and_flushed_every_100_ms() -> None:
    assert MonitorSettings.model_fields["retention_days"].default == 400
    assert FLUSH == 0.1


def test_no_photograph_is_kept_unless_asked() -> None:
    assert SegmenterSettings.model_fields["capture"].default == 0
