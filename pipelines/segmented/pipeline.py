"""The pipeline `segmented`."""

from typing import NamedTuple

from kfp import dsl
from parfocal_components.segment.component import segment
from parfocal_pipelines.ending import reported
from parfocal_pipelines.placement import Placements, imported, place


class Outputs(NamedTuple):
    segmentation: dsl.Artifact
    report: dsl.HTML
    summary: dsl.Markdown


def build(placements: Placements):
    """Compose the pipeline with its step placed as `placements` says."""

    @reported(
        placements,
        name="parfocal-segmented",
        display_name="Parfocal: masks",
        description="Pictures or volumes and a bundle in, their masks with indicators out; nothing is learned.",
    )
    def segmented(experience_uri: str, champion_uri: str, idempotency_key: str, config: str = "") -> Outputs:
        """Draw the masks of a folder with the champion, or with any bundle.

        Args:
            experience_uri: Folder of pictures or volumes. Masks beside them measure post-processing on and off.
            champion_uri: Folder of the bundle that draws.
            idempotency_key: Name of this piece of work; names the MLflow run.
            config: Canonical JSON of the run's configuration (parfocal config show --json); empty means defaults.
        """
        images = imported(experience_uri, dsl.Dataset, "Images")
        model = imported(champion_uri, dsl.Model, "Bundle")

        drawn = segment(images=images.output, bundle=model.output, config=config, idempotency_key=idempotency_key)
        place(drawn, placements.evaluate, placements.platform).set_display_name("Segment")

        return Outputs(
            segmentation=drawn.outputs["segmentation"],
            report=drawn.outputs["report"],
            summary=drawn.outputs["summary"],
        )

    return segmented
