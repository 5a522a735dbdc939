"""The reference: fitted apart from what calibrates it, written and read exactly, and honest about what is absent."""

import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.types import Observation
from parfocal.drift.cusum import normal_scores
from parfocal.drift.reference import DriftConfig, Reference, fit, read

CAMERAS = {"A": (0.0, 1.0), "B": (4.0, 2.5), "C": (-4.0, 1.0)}
"""Shift and scatter of the embedding."""
CONFIG = DriftConfig(arl0=500)


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
    found = fit({"A": cases("A", 60, width=200)}, DriftConfig(components=40), extractor="x", seed=0)
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
