"""Parfocal keeps a medical image segmentation service right while instruments change."""

__version__ = "0.1.0"
