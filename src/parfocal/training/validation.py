"""Masks and Dice of a network in training, without files: what picks the best weights and the best interpolation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from parfocal import models
from parfocal.objectives import MAIN, Batch, Objective
from parfocal.preprocessing import stacks
from parfocal.preprocessing.shards import Arrays
from parfocal.training import hardware
from parfocal.training.batches import to_device, to_input


def predict_masks(
    model: nn.Module, images: NDArray[np.uint8], *, batch_size: int = 32, precision: str = "auto"
) -> NDArray[np.uint8]:
    """Class of each pixel, uint8 [N, S, S], from uint8 BGR [N, S, S, 3].

    A one-channel head gives 1 where the probability is at least one half; any other gives the likeliest class. The
    model is left on its device and in the mode in which it was.
    """
    masks = [np.empty((0, *images.shape[1:3]), np.uint8)]
    with _evaluating(model), torch.inference_mode():
        device = next(model.parameters()).device
        mixed = hardware.precision(precision, device) == "bf16-mixed"
        for start in range(0, len(images), batch_size):
            with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
                logits = model(to_input(images[start : start + batch_size], device))
            classes = logits[:, 0] >= 0 if logits.shape[1] == 1 else logits.argmax(1)
            masks.append(classes.to(torch.uint8).cpu().numpy())
    return np.concatenate(masks)


def dice_by_case(predicted: NDArray[np.uint8], true: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Dice of each case, float64 [N], from class indices [N, S, S]; with several classes the mean of all but 0.

    Empty against empty is 1, as in `parfocal.evaluation`.
    """
    scores = []
    for value in range(1, max(int(true.max(initial=1)), int(predicted.max(initial=1))) + 1):
        p, t = (predicted == value), (true == value)
        total = p.sum((1, 2)) + t.sum((1, 2))
        both = (p & t).sum((1, 2))
        scores.append(np.where(total > 0, 2 * both / np.maximum(total, 1), 1.0))
    mean: NDArray[np.float64] = np.mean(scores, axis=0)
    return mean


def score_by_instrument(
    objective: Objective,
    networks: Mapping[str, nn.Module],
    validation: Mapping[str, Arrays],
    *,
    batch_size: int = 32,
    precision: str = "auto",
    seed: int = 0,
) -> dict[str, float]:
    """Mean of the objective's score over the cases of each instrument; instruments without a score are left out.

    A network of stacks is scored slice by slice too, after its answers for a whole volume.
    """
    device = next(networks[MAIN].parameters()).device
    mixed = hardware.precision(precision, device) == "bf16-mixed"
    scores = {}
    with ExitStack() as stack:
        for network in networks.values():
            stack.enter_context(_evaluating(network))
        stack.enter_context(torch.inference_mode())
        for name, arrays in validation.items():
            found = [np.empty(0)]
            for rows, main in _portions(networks[MAIN], arrays, batch_size):
                batch = Batch(
                    to_input(arrays.image[rows], device),
                    to_device(arrays.mask[rows], device),
                    to_device(arrays.points[rows], device),
                    np.random.default_rng([seed, int(rows[0])]),
                )
                with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
                    found.append(objective.score({**networks, MAIN: main}, batch))
            known = np.concatenate(found)
            known = known[~np.isnan(known)]
            if len(known):
                scores[name] = float(known.mean())
    return scores


class Slicewise(nn.Module):
    """A network of stacks, asked for all slices of one volume: [Z, C, S, S] in, logits [Z, K, S, S] out.

    The probabilities of the stacks that hold a slice are averaged, as inference does; logits are made of the mean.

    Args:
        network: of stacks, [N, C, D, S, S] to [N, K, D, S, S].
        numbers: of the volume's slices, ascending.
    """

    def __init__(self, network: nn.Module, numbers: stacks.Ints) -> None:
        super().__init__()
        self.network, self.numbers = network, numbers

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        def answer(places: stacks.Ints) -> NDArray[np.float32]:
            logits = self.network(x[torch.from_numpy(places).to(x.device)].movedim(0, 1)[None])[0].float()
            probability = logits.sigmoid() if len(logits) == 1 else logits.softmax(0)
            found: NDArray[np.float32] = probability.movedim(1, 0).cpu().numpy()
            return found

        mean = torch.from_numpy(stacks.averaged(answer, self.numbers, models.slices_of(self.network))).to(x.device)
        return torch.logit(mean, 1e-7) if mean.shape[1] == 1 else mean.clamp(min=1e-7).log()


def _portions(model: nn.Module, arrays: Arrays, batch_size: int) -> Iterator[tuple[stacks.Ints, nn.Module]]:
    """Rows that are answered together and what answers: batches of pictures, or whole volumes."""
    if not models.slices_of(model):
        for start in range(0, len(arrays), batch_size):
            yield np.arange(start, min(start + batch_size, len(arrays))), model
        return
    for volume in stacks.volumes(arrays).values():
        yield volume.rows, Slicewise(model, volume.numbers).train(model.training)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    was = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was)
