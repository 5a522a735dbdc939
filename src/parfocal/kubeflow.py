"""Parfocal's steps for other people's Kubeflow pipelines: ``parfocal.kubeflow.component("retrain")``.

The components are the compiled ones of this version, with their image in them. `examples/other_pipeline.py` shows a
pipeline that is made of them.
"""

from parfocal.adapters.kubeflow import component, components, pipeline

__all__ = ["component", "components", "pipeline"]
