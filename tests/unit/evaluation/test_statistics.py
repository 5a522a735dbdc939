import numpy as np
import pytest

from parfocal.evaluation.statistics import by_patient, paired_interval, patients_needed, power


def test_a_patient_with_many_images_counts_once() -> None:
    assert by_patient([0.1, 0.3, 0.8, 0.0], ["b", "b", "a", "b"]).tolist() == pytest.approx([0.8, 0.4 / 3])
    with pytest.raises(ValueError, match=r"longer|shorter"):
        by_patient([1.0], ["a", "b"])


def test_the_interval_holds_the_mean_and_is_the_same_every_time() -> None:
    sample = np.random.default_rng(3).normal(0.05, 0.06, 30)
    found = paired_interval(sample)
    assert found.low < found.estimate < found.high
    assert found.estimate == pytest.approx(sample.mean())
    assert found.level == 0.9
    assert paired_interval(sample) == found
    assert paired_interval(sample, seed=1) != found


def test_the_interval_is_near_the_students_for_normal_differences() -> None:
    sample = np.random.default_rng(4).normal(0, 1, 200)
    half = 1.653 * sample.std(ddof=1) / np.sqrt(200)
    found = paired_interval(sample)
    assert found.low == pytest.approx(sample.mean() - half, abs=0.02)
    assert found.high == pytest.approx(sample.mean() + half, abs=0.02)


def test_a_skewed_sample_has_a_skewed_interval() -> None:
    sample = np.random.default_rng(5).exponential(1, 40) ** 2
    found = paired_interval(sample)
    assert found.high - found.estimate > 1.1 * (found.estimate - found.low)


def test_a_higher_level_is_wider() -> None:
    sample = np.random.default_rng(6).normal(0, 1, 25)
    narrow, wide = paired_interval(sample, level=0.8), paired_interval(sample, level=0.99)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_equal_differences_have_an_interval_without_width() -> None:
    found = paired_interval(np.full(12, 0.1 + 0.2))
    assert found.low == found.high == found.estimate == pytest.approx(0.3)


@pytest.mark.parametrize("sample", [[0.0, 0.5], [0.1, 0.1, 0.1, 0.9], [0.0] * 19 + [1.0]])
def test_few_or_lumpy_differences_still_have_a_finite_interval(sample: list[float]) -> None:
    found = paired_interval(np.array(sample))
    assert np.isfinite([found.low, found.high]).all()
    assert found.low <= found.estimate <= found.high


@pytest.mark.parametrize("sample", [[], [0.1], [0.1, np.nan, 0.2]])
def test_what_has_no_interval_is_refused(sample: list[float]) -> None:
    with pytest.raises(ValueError, match="no interval"):
        paired_interval(np.array(sample))


def test_the_lower_bound_is_rarely_above_the_truth() -> None:
    rng = np.random.default_rng(7)
    above = [paired_interval(rng.normal(0, 0.06, 26), resamples=1000).low > 0 for _ in range(300)]
    assert np.mean(above) < 0.10  # 0.05 is promised for large samples; a bootstrap of 26 comes near it


def test_at_a_margin_of_002_and_sd_006_26_cases_see_a_true_equal_half_the_time() -> None:
    assert power(26, 0.06, 0.02) == pytest.approx(0.5, abs=0.03)
    rng = np.random.default_rng(8)
    seen = [paired_interval(rng.normal(0, 0.06, 26), resamples=1000).low > -0.02 for _ in range(300)]
    assert np.mean(seen) == pytest.approx(power(26, 0.06, 0.02), abs=0.1)


def test_sd_004_needs_25_patients_and_009_needs_125() -> None:
    assert patients_needed(0.04, 0.02) == 25
    assert patients_needed(0.09, 0.02) == pytest.approx(125, abs=1)


def test_power_grows_with_patients_and_is_certain_without_spread() -> None:
    assert power(20, 0.06, 0.02) < power(40, 0.06, 0.02) < power(400, 0.06, 0.02)
    assert power(20, 0.0, 0.02) == 1
    assert patients_needed(0.0, 0.02) == 2
    assert power(patients_needed(0.07, 0.02), 0.07, 0.02) >= 0.8
