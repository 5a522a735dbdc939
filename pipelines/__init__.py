"""Kubeflow pipelines: a folder each, found by its file names. `pipeline.py` is written, `pipeline.yaml` compiled."""
