import numpy as np
import pytest

from parfocal.evaluation import glaucoma


def ellipse(row: float, column: float, height: float, width: float, shape: tuple[int, int] = (200, 220)) -> np.ndarray:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return ((rows - row) / height) ** 2 + ((columns - column) / width) ** 2 <= 1


DISC = ellipse(100, 110, 60, 60)
NOTHING = np.zeros_like(DISC)


def test_ratios_of_a_tall_cup_by_hand() -> None:
    cup = ellipse(100, 110, 36, 16)
    assert glaucoma.cdr(DISC, cup) == pytest.approx((36 * 16) ** 0.5 / 60, abs=0.005)
    assert glaucoma.vertical_cdr(DISC, cup) == 73 / 121  # rows from 64 to 136, from 40 to 160


def test_without_a_disc_there_is_no_ratio_and_without_a_cup_it_is_zero() -> None:
    assert glaucoma.cdr(NOTHING, DISC) is None
    assert glaucoma.vertical_cdr(NOTHING, DISC) is None
    assert glaucoma.cdr(DISC, NOTHING) == glaucoma.vertical_cdr(DISC, NOTHING) == 0


def test_errors_are_against_the_true_ratio() -> None:
    true = {"disc": DISC, "cup": ellipse(100, 110, 30, 30)}
    found = {"disc": DISC, "cup": ellipse(100, 110, 24, 24)}
    scores = glaucoma.score_ratios(found, true)
    assert scores["cdr_true"] == pytest.approx(0.5, abs=0.005)
    assert scores["cdr_error"] == pytest.approx(0.1, abs=0.005)
    assert scores["vertical_cdr_error"] == pytest.approx(12 / 121)


def test_finding_no_disc_earns_no_small_error() -> None:
    true = {"disc": DISC, "cup": ellipse(100, 110, 30, 30)}
    scores = glaucoma.score_ratios({"disc": NOTHING, "cup": NOTHING}, true)
    assert scores["cdr_error"] == scores["cdr_true"]
    assert "cdr" not in scores


def test_a_structure_that_nobody_labelled_gives_no_ratio() -> None:
    assert glaucoma.score_ratios({"disc": DISC, "cup": DISC}, {"disc": DISC}) == {}
    assert glaucoma.score_ratios({"disc": DISC}, {"disc": DISC, "cup": DISC}) == {}


def test_rim_widths_by_quadrant_of_a_cup_that_sits_high_and_to_the_left() -> None:
    rim = glaucoma.rim(DISC, ellipse(94, 104, 30, 30), "right")
    assert rim is not None
    # Centred, the rim would be 30 wide; along an axis the shift of 6 shows, over a quadrant its mean does.
    mean = 6 * (2**0.5 / 2) / (np.pi / 4)
    assert rim.inferior == pytest.approx(30 + mean, abs=1)
    assert rim.superior == pytest.approx(30 - mean, abs=1)
    assert rim.nasal == pytest.approx(30 + mean, abs=1)
    assert rim.temporal == pytest.approx(30 - mean, abs=1)


def test_the_isnt_rule_turns_with_the_side_of_the_eye() -> None:
    cup = ellipse(95, 106, 22, 36)  # widest below, then above, then on the right, narrowest on the left
    right, left = glaucoma.rim(DISC, cup, "right"), glaucoma.rim(DISC, cup, "left")
    assert right is not None
    assert left is not None
    assert right.follows_isnt is True
    assert left.follows_isnt is False
    assert (left.nasal, left.temporal) == (right.temporal, right.nasal)


def test_of_an_unknown_eye_the_rule_is_not_guessed() -> None:
    rim = glaucoma.rim(DISC, ellipse(95, 106, 22, 36), None)
    assert rim is not None
    assert rim.follows_isnt is rim.nasal is rim.temporal is None
    assert rim.inferior > rim.superior


def test_without_a_disc_there_is_no_rim_and_without_a_cup_it_is_the_disc() -> None:
    assert glaucoma.rim(NOTHING, DISC, "left") is None
    rim = glaucoma.rim(DISC, NOTHING, "left")
    assert rim is not None
    assert rim.inferior == pytest.approx(60, abs=1)


def test_a_disc_at_the_edge_of_the_photograph_is_measured_as_far_as_it_is_seen() -> None:
    disc = ellipse(0, 110, 60, 60)
    rim = glaucoma.rim(disc, NOTHING, None)
    assert rim is not None
    assert rim.superior < rim.inferior
