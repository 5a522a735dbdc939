"""Any network of MONAI by its name, as if it were one of ours. MONAI is imported when one is built."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from inspect import isclass, signature
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from parfocal.core.errors import UsageError

_FOUR_HALVINGS = {"channels": (16, 32, 64, 128, 256), "strides": (2, 2, 2, 2)}
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "UNet": _FOUR_HALVINGS,
    "AttentionUnet": _FOUR_HALVINGS,
    "DynUNet": {"kernel_size": (3,) * 5, "strides": (1, 2, 2, 2, 2), "upsample_kernel_size": (2, 2, 2, 2)},
}
"""What MONAI wants to be told and has no default for."""
_FINEST = {"BasicUNetPlusPlus": -1}
"""Which of several outputs is the prediction, where it is not the first."""
_VNET_CHANNELS = 16


class MonaiNetwork(nn.Module):
    """A segmentation network of `monai.networks.nets`, in two or three dimensions.

    Args:
        network: its name there, such as ``UNet``, ``AttentionUnet``, ``SegResNet``, ``VNet``, ``BasicUNet``,
            ``DynUNet``; capitals do not matter.
        options: further arguments of its constructor, by MONAI's own names. `dimensions` and both channels are
            given to it where it takes them.
        in_channels: channels of the input. VNet takes divisors of 16 alone: zeros fill up to the next.
        out_channels: one a structure (sigmoid), or one a class (softmax).
        dimensions: 2 or 3.
        slices: of three dimensions, how many neighbouring slices of a volume it looks at together: D below, where it
            is trained and asked. Only what it is meant for: a whole volume of another D goes through as well.

    Shapes: float [N, in_channels, (D,) H, W] to logits [N, out_channels, (D,) H, W], the finest alone where the
    network gives several for deep supervision. UsageError for sides that the network cannot halve and double again.
    A weight that MONAI registers under two names is kept under the first.

    Raises:
        UsageError: MONAI is missing, has no such network, or refuses the arguments.
    """

    def __init__(
        self,
        network: str,
        options: Mapping[str, Any] | None = None,
        in_channels: int = 3,
        out_channels: int = 1,
        dimensions: int = 2,
        slices: int = 16,
    ) -> None:
        super().__init__()
        kind = _find(network)
        name = kind.__name__
        self.padding = -in_channels % _divisor_above(in_channels) if name == "VNet" else 0
        arguments = _arguments(kind, dict(options or {}), in_channels + self.padding, out_channels, dimensions)
        self.finest = _FINEST.get(name, 0)
        self.factors = _factors(name, arguments, dimensions)
        try:
            self.network: nn.Module = kind(**arguments)
        except (TypeError, ValueError, AssertionError, KeyError, NotImplementedError) as error:
            raise UsageError(
                f"MONAI cannot build {name}: {error}",
                where="model.options",
                expected=f"arguments among {', '.join(signature(kind).parameters)}",
            ) from None
        except ImportError as error:
            raise UsageError(f"MONAI cannot build {name}: {str(error).splitlines()[0]}", next="install it") from None
        if dimensions == 2:
            _drop_channels_not_pictures(self.network)
        self.slices = slices if dimensions == 3 else 0
        if dimensions == 3 and (slices < 1 or slices % self.factors[0]):
            raise UsageError(
                f"{name} cannot take stacks of {slices} slices",
                where="model.options.slices",
                expected=f"a multiple of {self.factors[0]}",
            )
        self.aliases = _aliases(self.network)
        self.register_state_dict_post_hook(_drop_aliases)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_add_aliases)  # type: ignore[no-untyped-call]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        sides = tuple(x.shape[2:])
        if len(sides) == 2 and self.slices:
            raise UsageError(
                f"{type(self.network).__name__} of three dimensions cannot take a picture of {_by(sides)}",
                expected=f"stacks of {self.slices} slices of a volume",
                next="for pictures set model.options.dimensions=2",
            )
        if len(sides) != len(self.factors) or any(s % f for s, f in zip(sides, self.factors, strict=True)):
            raise self._refusal(sides, f"sides that are multiples of {_by(self.factors)}")
        if self.padding:
            x = functional.pad(x, (0, 0) * len(sides) + (0, self.padding))
        try:
            y = self.network(x)
        except ValueError as error:
            raise self._refusal(sides, str(error)) from None
        logits: torch.Tensor = y[self.finest] if isinstance(y, list | tuple) else y
        if logits.ndim == x.ndim + 1:  # DynUNet stacks its outputs in training: [N, outputs, C, ...]
            logits = logits[:, 0]
        if logits.shape[2:] != x.shape[2:]:
            raise self._refusal(sides, f"a size that comes out as it went in, not as {_by(tuple(logits.shape[2:]))}")
        return logits

    def _refusal(self, sides: Sequence[int], expected: str) -> UsageError:
        name = type(self.network).__name__
        return UsageError(f"{name} cannot take an image of {_by(sides)}", expected=expected, next="change recipe.size")


def _find(network: str) -> type[nn.Module]:
    try:
        nets = import_module("monai.networks.nets")
    except ImportError as error:
        raise UsageError(f"MONAI is not there: {error}", next="pip install 'parfocal[monai]'") from None
    known = {name: kind for name, kind in vars(nets).items() if isclass(kind) and issubclass(kind, nn.Module)}
    if network in known:
        return known[network]
    lower = {name.lower(): name for name in sorted(known, reverse=True)}
    if network.lower() in lower:
        return known[lower[network.lower()]]
    near = get_close_matches(network.lower(), lower, n=1)
    raise UsageError(
        f"MONAI has no network '{network}'",
        expected="the name of a class in monai.networks.nets, such as UNet, SegResNet or VNet",
        next=f"did you mean '{known[lower[near[0]]].__name__}'?" if near else "",
    )


def _arguments(
    kind: type[nn.Module], options: dict[str, Any], in_channels: int, out_channels: int, dimensions: int
) -> dict[str, Any]:
    given = {
        "spatial_dims": dimensions,
        "in_channels": in_channels,
        "out_channels": out_channels,
    }
    taken = signature(kind).parameters
    return {k: v for k, v in given.items() if k in taken} | dict(_DEFAULTS.get(kind.__name__, {})) | options


def _drop_channels_not_pictures(network: nn.Module) -> None:
    """Put dropout of two dimensions in the place of three: MONAI 1.6.1 builds its VNet with the latter always.

    That takes [N, C, H, W] for one volume of N channels, and zeroes whole pictures of a batch.
    """
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.Dropout3d):
            network.set_submodule(name, nn.Dropout2d(module.p, module.inplace))


def _factors(name: str, arguments: Mapping[str, Any], dimensions: int) -> tuple[int, ...]:
    """What each side must be a multiple of; 1 for networks that pad by themselves, or of which nothing is known."""
    if name in _DEFAULTS:
        steps = [s if isinstance(s, Sequence) else (s,) * dimensions for s in arguments["strides"]]
        return tuple(math.prod(step[axis] for step in steps) for axis in range(dimensions))
    halvings = {"VNet": 4, "SegResNet": len(arguments.get("blocks_down", (1, 2, 2, 4))) - 1}.get(name, 0)
    return (2**halvings,) * dimensions


def _divisor_above(channels: int) -> int:
    """The least divisor of 16 that is not below `channels`."""
    return next((d for d in (1, 2, 4, 8, _VNET_CHANNELS) if d >= channels), channels)


def _by(sides: Sequence[int]) -> str:
    return " x ".join(map(str, sides))


def _aliases(network: nn.Module) -> dict[str, str]:
    """Second and later names of one tensor to its first: two names of one memory cannot be written as safetensors."""
    first: dict[int, str] = {}
    found = {}
    for name, tensor in network.state_dict(keep_vars=True).items():
        kept = first.setdefault(id(tensor), name)
        if kept != name:
            found[name] = kept
    return found


def _drop_aliases(module: nn.Module, state: dict[str, Any], prefix: str, _metadata: object) -> None:
    for alias in module.aliases:  # type: ignore[union-attr]
        state.pop(f"{prefix}network.{alias}", None)


def _add_aliases(module: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    for alias, kept in module.aliases.items():  # type: ignore[union-attr,operator]
        if f"{prefix}network.{kept}" in state:
            state.setdefault(f"{prefix}network.{alias}", state[f"{prefix}network.{kept}"])
