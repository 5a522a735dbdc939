import subprocess
import sys

import pytest

from parfocal.training.config import TrainConfig, learning_rate


def rates(**settings: object) -> list[float]:
    config = TrainConfig(learning_rate=1.0, **settings)
    return [learning_rate(config, step, 100) for step in range(100)]


def test_one_cycle_rises_to_the_peak_and_falls_to_nearly_nothing() -> None:
    values = rates(schedule="one-cycle", warmup=0.2)
    assert values[0] == pytest.approx(1 / 25)
    assert values[20] == pytest.approx(1.0)
    assert values[:21] == sorted(values[:21])
    assert values[20:] == sorted(values[20:], reverse=True)
    assert values[-1] == pytest.approx(1 / 1000)


def test_cosine_only_falls_and_constant_stays() -> None:
    values = rates(schedule="cosine")
    assert values[0] == 1.0
    assert values == sorted(values, reverse=True)
    assert set(rates(schedule="constant")) == {1.0}


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine", "constant"])
def test_even_a_single_step_has_a_rate(schedule: str) -> None:
    assert 0 < learning_rate(TrainConfig(schedule=schedule), 0, 1) <= 1e-3


def test_reading_the_settings_loads_no_torch() -> None:
    program = "import sys, parfocal.training.config, parfocal.models; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
