"""The monitor: keeps what the segmenters saw, holds it against the reference, and decides when a model must learn."""
