"""The recursive U-Net with residual blocks, which papers 000 and 001 leave to the future."""

from __future__ import annotations

from parfocal.models import blocks
from parfocal.models.levels import UShape


class ResidualUNet(UShape):
    """`RecursiveUNet` (same arguments, widths and shapes) whose levels add their input before the last ReLU.

    The input passes a 1 x 1 convolution, with batch norm where the level has it, unless its width is the level's.
    """

    block = blocks.Residual
