"""Masks and labels in the formats of other programs: DICOM SEG, COCO, NIfTI, Label Studio, MONAI Label."""
