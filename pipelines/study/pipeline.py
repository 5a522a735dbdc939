"""The pipeline `study`."""

from typing import NamedTuple

from kfp import dsl
from parfocal_components.study_cell.component import study_cell
from parfocal_components.study_cells.component import study_cells
from parfocal_components.tabulate.component import tabulate
from parfocal_pipelines.ending import reported
from parfocal_pipelines.placement import Placements, place

SIDE_BY_SIDE = 8
"""Cells that run at a time: a study has up to a few hundred, and other people want the GPUs too."""


class Outputs(NamedTuple):
    study: dsl.Artifact
    report: dsl.HTML
    summary: dsl.Markdown


def build(placements: Placements):
    """Compose the pipeline with its steps placed as `placements` says."""

    @reported(
        placements,
        name="parfocal-study",
        display_name="Parfocal: study",
        description="A paper's question asked again: a grid of trainings, and tables with the paper's figures beside.",
    )
    def study(idempotency_key: str, config: str = "") -> Outputs:
        """Run a study's cells side by side and gather its tables.

        Args:
            idempotency_key: Name of this piece of work; names the MLflow run.
            config: Canonical JSON of the study's configuration (study, scale, seeds, data); empty means defaults.
        """
        cells = study_cells(config=config)
        place(cells, placements.preprocess, placements.platform).set_display_name("Data sets and cells")

        with dsl.ParallelFor(cells.output, parallelism=SIDE_BY_SIDE) as cell:
            one = study_cell(cell=cell, config=config)
            place(one, placements.study, placements.platform).set_display_name("Cell")

        tables = tabulate(cells=dsl.Collected(one.outputs["scores"]), config=config, idempotency_key=idempotency_key)
        place(tables, placements.evaluate, placements.platform).set_display_name("Tables")

        return Outputs(
            study=tables.outputs["study"], report=tables.outputs["report"], summary=tables.outputs["summary"]
        )

    return study
