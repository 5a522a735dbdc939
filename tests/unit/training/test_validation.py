import numpy as np
import pytest
import torch
from torch import nn

from parfocal.objectives import MAIN
from parfocal.objectives.segment import Segment, SegmentSettings
from parfocal.preprocessing.shards import Arrays
from parfocal.training.validation import dice_by_case, predict_masks, score_by_instrument


class Threshold(nn.Module):
    """Says 'object' where the first channel is brighter than one half."""

    def __init__(self, classes: int = 1) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.tensor(-0.5))
        self.classes = classes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logit = x[:, :1] + self.bias
        return logit if self.classes == 1 else torch.cat([-logit, logit], 1)


IMAGES = np.zeros((5, 4, 4, 3), np.uint8)
IMAGES[:, :2, :, 0] = 200
TRUE = np.zeros((5, 4, 4), np.uint8)
TRUE[:, :, :2] = 1


@pytest.mark.parametrize("classes", [1, 2])
def test_masks_come_from_pictures_in_batches_and_the_model_keeps_its_mode(classes: int) -> None:
    model = Threshold(classes).train()
    masks = predict_masks(model, IMAGES, batch_size=2)
    assert (masks.shape, masks.dtype) == ((5, 4, 4), np.uint8)
    assert np.array_equal(masks, (IMAGES[..., 0] > 127).astype(np.uint8))
    assert model.training
    assert predict_masks(model, IMAGES[:0]).shape == (0, 4, 4)


def test_dice_of_cases_worked_by_hand() -> None:
    predicted = predict_masks(Threshold(), IMAGES)
    assert dice_by_case(predicted, TRUE) == pytest.approx([0.5] * 5)
    nothing = np.zeros((1, 4, 4), np.uint8)
    assert dice_by_case(nothing, nothing) == [1.0]
    assert dice_by_case(nothing, TRUE[:1]) == [0.0]


def test_dice_with_several_classes_is_the_mean_of_all_but_the_ground() -> None:
    true = np.array([[[0, 1, 2, 2]]], np.uint8)
    predicted = np.array([[[0, 1, 1, 2]]], np.uint8)
    assert dice_by_case(predicted, true) == pytest.approx([(2 / 3 + 2 / 3) / 2])


def test_each_instrument_gets_its_mean_and_an_empty_one_is_left_out() -> None:
    good = Arrays(IMAGES, (IMAGES[..., 0] > 127).astype(np.uint8), tuple("abcde"))
    bad = Arrays(IMAGES, TRUE, tuple("abcde"))
    none = Arrays(IMAGES[:0], TRUE[:0], ())
    assert score_by_instrument(
        Segment(SegmentSettings()), {MAIN: Threshold()}, {"a": good, "b": bad, "c": none}
    ) == pytest.approx({"a": 1.0, "b": 0.5})
