"""The generalised recursive U-Net of papers 000 and 001: depth, width and increment ratio (D / W / IR)."""

from __future__ import annotations

from parfocal.models import blocks
from parfocal.models.levels import UShape


class RecursiveUNet(UShape):
    """U-Net with `depth` poolings, so `depth + 1` levels.

    Level 0 is `width` wide and every further level `int(increment * width above)`. A level is two 3 x 3 same
    convolutions, each with bias, batch norm (optional) and ReLU, and dropout after the first of them, so that skips
    and the head see whole features. Down: 2 x 2 maximum. Up: doubling, ReLU, concatenated after the skip.

    Args:
        depth: number of poolings, D.
        width: channels of level 0, W.
        increment: ratio of the widths of neighbouring levels, IR.
        in_channels: channels of the input.
        out_channels: one a structure (sigmoid), or one a class (softmax).
        batch_norm: normalise after each convolution.
        dropout: rate in [0, 1).
        dropout_at: in ``every`` block, in the ``bottom`` one alone, or ``none``.
        up: ``transpose`` is a transposed convolution (kernel 3, stride 2); ``upsample`` repeats pixels, then convolves;
            ``bilinear`` interpolates and convolves nothing: the block below narrows to the skip's width instead, as
            in the U-Net of paper 002.
        widest: no level is wider than this; None is no limit.

    Shapes: float [N, in_channels, H, W] in [0, 1] to logits [N, out_channels, H, W]; H and W are multiples of
    2 ** depth, else UsageError.
    """

    block = blocks.Plain
