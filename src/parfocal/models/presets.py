"""The networks of the five papers as settings, by name.

Three input channels, where the papers have one or three; with one output the trainable parameters are those given.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

from parfocal.core.errors import UsageError
from parfocal.models import ModelConfig


def _recursive(depth: int, width: int, increment: float) -> ModelConfig:
    return ModelConfig(depth=depth, width=width, increment=increment)


PRESETS: Mapping[str, ModelConfig] = {
    # "near 1M" parameters, the 6th layer is the lowest: 917,492.
    "paper-000": _recursive(6, 40, 1.1),
    # Table 1: 3,463,742; 1,144,520; 3,322,089; 917,492; 2,552,657; 14,564,199.
    "paper-001-5/32/1.5": _recursive(5, 32, 1.5),
    "paper-001-5/40/1.2": _recursive(5, 40, 1.2),
    "paper-001-6/40/1.3": _recursive(6, 40, 1.3),
    "paper-001-6/40/1.1": _recursive(6, 40, 1.1),
    "paper-001-7/40/1.2": _recursive(7, 40, 1.2),
    "paper-001-7/64/1.3": _recursive(7, 64, 1.3),
    # 64 to 512 and again 512 channels, bilinear upsampling, batch norm, no dropout: 17,267,393.
    "paper-002": ModelConfig(
        depth=4, width=64, increment=2.0, dropout=0.0, dropout_at="none", up="bilinear", options={"widest": 512}
    ),
    # Level count and widths of the original U-Net, 64 to 1024, and no regularisation: 34,513,345.
    "paper-003": ModelConfig(depth=4, width=64, increment=2.0, batch_norm=False, dropout=0.0, dropout_at="none"),
    # Batch norm and dropout are named, widths and depth are not: half those of the original U-Net: 8,636,385.
    "paper-004": ModelConfig(depth=4, width=32, increment=2.0),
}


def preset(name: str) -> ModelConfig:
    """The settings of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in PRESETS:
        near = get_close_matches(name, PRESETS, n=1)
        raise UsageError(
            f"there is no preset '{name}'",
            expected=f"one of {', '.join(PRESETS)}",
            next=f"did you mean '{near[0]}'?" if near else "",
        )
    return PRESETS[name]
