"""Pretrained weights carried into another network by name, and kept there as they are (papers 003 and 004)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

import torch
from torch import nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from parfocal.core.errors import DataContractError, UsageError

_HEAD = "head."


class FrozenNorm(nn.Module):
    """A batch norm that keeps its statistics in training too. It takes over the layer's own tensors and their names.

    It is no batch norm to PyTorch, so nothing that resets or recomputes statistics finds it.
    """

    weight: torch.Tensor | None
    bias: torch.Tensor | None
    running_mean: torch.Tensor
    running_var: torch.Tensor

    def __init__(self, norm: _BatchNorm) -> None:
        super().__init__()
        self.eps = norm.eps
        for name, parameter in norm.named_parameters():
            self.register_parameter(name, parameter)
        if not norm.affine:
            self.weight = self.bias = None
        for name, buffer in norm.named_buffers():
            self.register_buffer(name, buffer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


def encoder_names(model: nn.Module, levels: int | None = None) -> list[str]:
    """Names in the state dict of the first `levels` levels of the encoder; all of them for None.

    Raises:
        UsageError: the network has no encoder of levels, or not so many.
    """
    down = getattr(model, "down", None)
    if not isinstance(down, nn.ModuleList):
        raise UsageError(
            f"{type(model).__name__} has no encoder whose weights could be carried over",
            expected="unet, residual_unet or localizer",
        )
    if levels is not None and not 1 <= levels <= len(down):
        raise UsageError(
            f"there are no {levels} levels in this encoder", expected=f"1 to {len(down)}", where="train.encoder.levels"
        )
    wanted = tuple(f"down.{k}." for k in range(levels or len(down)))
    return [name for name in model.state_dict() if name.startswith(wanted)]


def load_encoder(model: nn.Module, weights: Mapping[str, torch.Tensor], levels: int | None = None) -> tuple[str, ...]:
    """Copy the encoder's first `levels` levels from `weights` into `model`; gives the names of what was copied.

    A network with more input channels than the pretrained one (clicks beside the picture) gets zeros for those that
    are new, so it begins as the pretrained one. Such a weight is not among the names: frozen, it would never see a
    click.

    Raises:
        DataContractError: a weight is missing or has another shape. The model is left as it was.
        UsageError: as `encoder_names`.
    """
    return _copy(model, weights, encoder_names(model, levels))


def load_body(model: nn.Module, weights: Mapping[str, torch.Tensor]) -> tuple[str, ...]:
    """As `load_encoder`, but everything except the head, decoder included: paper 003 goes on with the whole network."""
    return _copy(model, weights, [name for name in model.state_dict() if not name.startswith(_HEAD)])


def freeze(model: nn.Module, names: Iterable[str]) -> None:
    """Keep these weights and running statistics as they are, whatever the training mode.

    Parameters get no gradient; a batch norm that has one of the names becomes a `FrozenNorm`. Dropout goes on.

    Args:
        names: of the state dict, such as `load_encoder` gives.

    Raises:
        UsageError: a name is unknown.
    """
    wanted = set(names)
    known = model.state_dict()
    for name in sorted(wanted - known.keys()):
        near = get_close_matches(name, known, n=1)
        raise UsageError(f"there is no weight '{name}' to freeze", next=f"did you mean '{near[0]}'?" if near else "")
    for name, parameter in model.named_parameters():
        if name in wanted:
            parameter.requires_grad_(False)
    for name, module in list(model.named_modules()):
        tracked = isinstance(module, _BatchNorm) and module.running_mean is not None
        if tracked and any(f"{name}.{key}" in wanted for key in module.state_dict()):
            model.set_submodule(name, FrozenNorm(module))


def _copy(model: nn.Module, weights: Mapping[str, torch.Tensor], names: Sequence[str]) -> tuple[str, ...]:
    own = model.state_dict()
    found = {name: _fitted(name, own[name], weights.get(name)) for name in names}
    with torch.no_grad():
        for name, value in found.items():
            own[name].copy_(value)
    return tuple(name for name in names if own[name].shape == weights[name].shape)


def _fitted(name: str, own: torch.Tensor, given: torch.Tensor | None) -> torch.Tensor:
    if given is None:
        raise DataContractError(
            "a weight is missing among the pretrained ones", where=name, next="give both the same model.depth and kind"
        )
    if given.shape == own.shape:
        return given
    first, fits = name.startswith("down.0."), len(own.shape) > 1 and given.shape[:1] + given.shape[2:]
    if first and fits == own.shape[:1] + own.shape[2:] and given.shape[1] < own.shape[1]:
        return torch.cat([given, given.new_zeros(own.shape[0], own.shape[1] - given.shape[1], *own.shape[2:])], 1)
    raise DataContractError(
        f"a pretrained weight does not fit: {list(given.shape)}",
        where=name,
        expected=str(list(own.shape)),
        next="give both the same model.depth, width, increment and batch_norm",
    )
