"""The reference: fitted apart from what calibrates it, written and read exactly, and honest about what is absent."""

import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.types import Observation
from parfocal.drift import archive
from parfocal.drift.cusum import normal_scores
from parfocal.drift.reference import DriftConfig, Reference, fit, read

CAMERAS = {"A": (0.0, 1.0), "B": (4.0, 2.5), "C": (-4.0, 1.0)}
"""Shift and scatter of the embedding."""
CONFIG = DriftConfig(arl0=500, streams=("appearance", "framing"))


def cases(camera: str, count: int, seed: int = 0, width: int = 40) -> list[Observation]:
    shift, scatter = CAMERAS[camera]
    rng = np.random.default_rng([seed, ord(camera)])
    mixing = np.random.default_rng(7).normal(size=(4, width))
    rows = (rng.normal(size=(count, 4)) @ mixing + rng.normal(size=(count, width))) * scatter + shift
    radii = np.exp(rng.normal(-2.3, 0.1, count))
    field = {"field.area": 0.75, "field.width": 1.0, "field.height": 1.0}
    return [
        Observation(
            f"{camera}{seed}-{i}", "fundus", camera, "1", "", i, 0.0, tuple(rows[i].tolist()),
            {"disc.x": 0.5 + 0.01 * float(rng.normal()), "disc.y": 0.5, "disc.radius": float(radii[i])}, field,
        )
        for i in range(count)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def reference() -> Reference:
    return fit({"B": cases("B", 300), "A": cases("A", 600)}, CONFIG, extractor="cup:abc", seed=0)


def z(reference: Reference, instrument: str | None, seen: list[Observation], stream: str = "appearance") -> np.ndarray:
    return normal_scores(reference.scorer(instrument, stream).p_values(seen))


def test_new_cases_of_a_camera_are_usual_and_another_camera_is_not(reference: Reference) -> None:
    for camera, other in (("A", "C"), ("B", "C"), ("A", "B")):
        assert z(reference, camera, cases(camera, 300, 1)).mean() == pytest.approx(0, abs=0.3)
        assert z(reference, camera, cases(other, 300, 1)).mean() > 2


@pytest.mark.parametrize("name", [None, "", "nobody's"])
def test_undeclared_traffic_is_held_against_the_nearest_camera(reference: Reference, name: str | None) -> None:
    mixed = [*cases("A", 400, 2), *cases("B", 200, 2)]
    assert z(reference, name, mixed).mean() == pytest.approx(0, abs=0.2)
    assert z(reference, name, cases("C", 100, 2)).mean() > 2
    assert reference.scorer(name, "appearance").calibration_size == 900


def test_every_detector_has_the_threshold_of_its_own_number_of_held_out_cases(reference: Reference) -> None:
    sizes = {name: reference.scorer(name, "framing").threshold.reference_size for name in ("A", "B", None)}
    assert sizes == {"A": 600, "B": 300, None: 900}
    assert all(math.isfinite(one.h) and one.arl0 == 500 for one in reference.thresholds.values())


def test_what_was_written_is_read_exactly(reference: Reference, tmp_path: Path) -> None:
    reference.write(tmp_path / "reference.npz")
    again = read(tmp_path / "reference.npz")
    for name in ("instruments", "streams", "extractor", "config", "thresholds", "absent"):
        assert getattr(again, name) == getattr(reference, name), name
    new = [*cases("A", 40, 3), *cases("C", 10, 3)]
    for instrument in ("A", "B", None):
        for stream in reference.streams:
            assert np.array_equal(z(again, instrument, new, stream), z(reference, instrument, new, stream))
    again.write(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "reference.npz").read_bytes()


def test_the_same_cases_in_any_order_and_at_any_time_give_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {name: cases(name, 60) for name in ("A", "B")}
    fit(seen, CONFIG, extractor="x", seed=1).write(tmp_path / "one.npz")
    monkeypatch.setattr(time, "time", lambda: 2e9)
    shuffled = {name: seen[name][::-1] for name in ("B", "A")}
    fit(shuffled, CONFIG, extractor="x", seed=1).write(tmp_path / "two.npz")
    fit(seen, CONFIG, extractor="x", seed=2).write(tmp_path / "three.npz")
    one, two, three = ((tmp_path / f"{name}.npz").read_bytes() for name in ("one", "two", "three"))
    assert one == two
    assert one != three


def test_a_second_camera_does_not_move_the_first(reference: Reference) -> None:
    alone = fit({"A": cases("A", 600)}, CONFIG, extractor="cup:abc", seed=0)
    new = cases("A", 50, 4)
    assert np.array_equal(z(alone, "A", new), z(reference, "A", new))


def test_an_instrument_with_too_few_usable_cases_is_absent_and_the_file_says_why(tmp_path: Path) -> None:
    blind = [replace(seen, embedding=()) for seen in cases("C", 100)]
    found = fit({"A": cases("A", 100), "B": cases("B", 19), "C": blind}, CONFIG, extractor="x", seed=0)
    found.write(tmp_path / "r.npz")
    again = read(tmp_path / "r.npz")
    assert again.instruments == ("A",)
    assert set(again.absent) == {"B", "C"}
    assert again.absent["C"].startswith("0 of its 100 cases can be used for appearance")
    assert np.array_equal(z(again, "B", cases("B", 5)), z(again, None, cases("B", 5)))


def test_without_embeddings_framing_is_still_watched() -> None:
    found = fit({"A": [replace(seen, embedding=()) for seen in cases("A", 80)]}, CONFIG, extractor="x", seed=0)
    assert (found.instruments, found.streams) == (("A",), ("framing",))
    assert "appearance" in found.absent
    with pytest.raises(UsageError, match="'appearance' is not in the drift reference"):
        found.scorer("A", "appearance")


@pytest.mark.parametrize("seen", [{}, {"A": []}, {"A": cases("A", 10)}])
def test_a_reference_of_nothing_can_be_written_and_promises_nothing(
    seen: dict[str, list[Observation]], tmp_path: Path
) -> None:
    fit(seen, CONFIG, extractor="x", seed=0).write(tmp_path / "r.npz")
    found = read(tmp_path / "r.npz")
    assert (found.instruments, found.streams) == ((), ())
    assert set(found.absent) == set(seen)


def test_a_camera_on_which_the_disc_is_sometimes_missed_does_not_alarm_when_it_is_again() -> None:
    def every_tenth(seed: int, count: int) -> list[Observation]:
        seen = cases("A", count, seed)
        return [replace(one, embedding=(), shape={}) if i % 10 == 0 else one for i, one in enumerate(seen)]

    found = fit({"A": every_tenth(0, 600)}, CONFIG, extractor="x", seed=0)
    for stream in found.streams:
        p = found.scorer("A", stream).p_values(every_tenth(1, 600))
        assert p[::10].max() == p.min() == pytest.approx(0.1, abs=0.04)
        assert normal_scores(p).mean() < 0.2


def test_a_reference_too_small_to_promise_never_alarms_and_says_so() -> None:
    found = fit({"A": cases("A", 20)}, DriftConfig(k=2.0), extractor="x", seed=0).scorer("A", "appearance").threshold
    assert found.h == math.inf
    assert "no score of 20 held-out cases is above k" in found.reason


def test_no_case_calibrates_a_model_that_has_seen_it() -> None:
    """With as many columns as cases a model fits its own cases exactly; the calibration must not be fooled by that."""
    config = DriftConfig(components=40, streams=("appearance",))
    found = fit({"A": cases("A", 60, width=200)}, config, extractor="x", seed=0)
    assert z(found, "A", cases("A", 300, 9, width=200)).mean() == pytest.approx(0, abs=0.35)


def _cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _flipped(content: bytes) -> bytes:
    place = len(content) // 2
    return content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :]


def _newer(content: bytes) -> bytes:
    return content.replace(b'"version": 1', b'"version": 2')


@pytest.mark.parametrize("damage", [_cut, _flipped, _newer, lambda _: b"", lambda _: b"not a zip file"])
def test_a_damaged_file_is_refused_by_name(reference: Reference, tmp_path: Path, damage: object) -> None:
    file = tmp_path / "reference.npz"
    reference.write(file)
    file.write_bytes(damage(file.read_bytes()))  # type: ignore[operator]
    with pytest.raises(DataContractError) as error:
        read(file)
    assert error.value.where == str(file)


def test_a_pickle_is_not_unpacked(tmp_path: Path) -> None:
    np.savez(tmp_path / "r.npz", header=np.array([{"version": 1}], dtype=object))
    with pytest.raises(DataContractError):
        read(tmp_path / "r.npz")


@pytest.mark.parametrize("streams", [(), ("appearance", "appearance"), ("look",)])
def test_streams_are_known_and_named_once(streams: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="streams"):
        DriftConfig.parse({"streams": streams})


def test_all_four_streams_are_the_default_and_those_that_nothing_can_be_said_of_are_left_out() -> None:
    found = fit({"A": cases("A", 60)}, DriftConfig(), extractor="x", seed=0)
    assert DriftConfig().streams == ("appearance", "framing", "plausibility", "acquisition")
    assert found.streams == ("appearance", "framing")
    assert set(found.absent) == {"plausibility", "acquisition"}


def test_a_budget_is_shared_by_all_that_look_at_every_case() -> None:
    """Two streams and the window: each may alarm a third as often."""
    config = DriftConfig(streams=("appearance", "framing"), cases_a_day=1.0, false_alarms_a_month=0.5)
    found = fit({"A": cases("A", 60)}, config, extractor="x", seed=0)
    assert found.scorer("A", "framing").threshold.arl0 == pytest.approx(3 * 365.25 / 12 / 0.5)


def test_a_reference_from_before_windows_and_qualities_goes_on_working(reference: Reference, tmp_path: Path) -> None:
    reference.write(tmp_path / "new.npz")
    header, arrays = archive.read(tmp_path / "new.npz")
    for name in ("windows", "quality"):
        del header[name]
    for name in ("window", "cases_a_day", "false_alarms_a_month"):
        del header["config"][name]
    archive.write(tmp_path / "old.npz", header, {k: v for k, v in arrays.items() if not k.startswith("window.")})
    old = read(tmp_path / "old.npz")
    assert old.streams == ("appearance", "framing")
    assert (dict(old.windows), dict(old.quality)) == ({}, {})
    assert np.array_equal(z(old, "A", cases("A", 30, 5)), z(reference, "A", cases("A", 30, 5)))


def test_windows_and_qualities_are_read_as_they_were_written(reference: Reference, tmp_path: Path) -> None:
    seen = {"A": cases("A", 120)}
    dice = {("A", one.id): {"disc": 0.9 - 0.01 * (i % 7)} for i, one in enumerate(seen["A"])}
    made = fit(seen, CONFIG, extractor="x", seed=0, dice=dice)
    made.write(tmp_path / "r.npz")
    again = read(tmp_path / "r.npz")
    new = cases("A", 40, 6)
    vectors = np.array([one.embedding for one in new])
    windows = [one.windows["A"].start(one.windows["A"].coordinates(vectors)) for one in (made, again)]
    assert windows[0].push(windows[0].rows[0]) == windows[1].push(windows[1].rows[0])
    assert again.windows["A"].threshold == made.windows["A"].threshold < math.inf
    assert again.quality["disc"].cases(again.features("A", new)) == made.quality["disc"].cases(made.features("A", new))


def test_a_detector_never_learns_from_the_stream_it_judges(reference: Reference, tmp_path: Path) -> None:
    """Whatever passed in between, the same case has the same p-value, and the reference the same bytes."""
    probe = cases("A", 20, 8)
    reference.write(tmp_path / "before.npz")
    before = {stream: reference.scorer("A", stream).p_values(probe) for stream in reference.streams}
    for stream in reference.streams:
        reference.scorer("A", stream).p_values(cases("C", 500, 8))
    window = reference.windows["A"].start()
    for row in reference.windows["A"].coordinates(np.array([one.embedding for one in cases("C", 80, 8)])):
        window.push(row)
    for stream in reference.streams:
        assert np.array_equal(reference.scorer("A", stream).p_values(probe), before[stream])
    reference.write(tmp_path / "after.npz")
    assert (tmp_path / "before.npz").read_bytes() == (tmp_path / "after.npz").read_bytes()


def test_a_refitted_reference_knows_the_new_camera_and_starts_other_detectors(
    reference: Reference, tmp_path: Path
) -> None:
    """After a promotion: other bytes are another reference id, and a detector's row is named by that."""
    after = fit({name: cases(name, 300) for name in CAMERAS}, CONFIG, extractor="cup:next", seed=0)
    assert z(reference, "C", cases("C", 100, 2)).mean() > 2
    assert z(after, "C", cases("C", 400, 3)).mean() == pytest.approx(0, abs=0.3)
    reference.write(tmp_path / "before.npz")
    after.write(tmp_path / "after.npz")
    assert (tmp_path / "before.npz").read_bytes() != (tmp_path / "after.npz").read_bytes()
