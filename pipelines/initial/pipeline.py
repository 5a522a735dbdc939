"""The pipeline `initial`."""

from typing import NamedTuple

from kfp import dsl
from parfocal_components.evaluate.component import evaluate
from parfocal_components.preprocess.component import preprocess
from parfocal_components.promote.component import promote
from parfocal_components.train.component import train
from parfocal_pipelines.ending import reported
from parfocal_pipelines.placement import FORM, Placements, imported, place


class Outputs(NamedTuple):
    outcome: str
    dataset: dsl.Dataset
    bundle: dsl.Model
    memory: dsl.Artifact
    evaluation: dsl.Artifact
    promotion: dsl.Artifact


def build(placements: Placements):
    """Compose the pipeline with its steps placed as `placements` says."""

    @reported(
        placements,
        name="parfocal-initial",
        display_name="Parfocal: first model",
        description="Labelled images of a first instrument in, a judged and registered first model out.",
        card=True,
    )
    def initial(experience_uri: str, idempotency_key: str, config: str = FORM) -> Outputs:
        """Train the first model of a task.

        Args:
            experience_uri: Folder with the labelled images of one instrument, such as s3://bucket/camera-b/3. It must
                not change afterwards.
            idempotency_key: Name of this piece of work, such as camera-b-3. The same key goes on where it was stopped
                and promotes once.
            config: JSON of what differs from the defaults (parfocal config show --json prints those), at least the
                instrument's name between the last quotes.
        """
        experience = imported(experience_uri, dsl.Dataset, "Experience")

        data = preprocess(experience=experience.output, config=config)
        place(data, placements.preprocess, placements.platform).set_display_name("Preprocess")

        model = train(dataset=data.outputs["dataset"], config=config, idempotency_key=idempotency_key)
        place(model, placements.train, placements.platform).set_display_name("Train")

        judged = evaluate(challenger=model.outputs["bundle"], config=config, idempotency_key=idempotency_key)
        place(judged, placements.evaluate, placements.platform).set_display_name("Evaluate")

        decided = promote(
            evaluation=judged.outputs["evaluation"],
            challenger=model.outputs["bundle"],
            config=config,
            idempotency_key=idempotency_key,
        )
        place(decided, placements.promote, placements.platform).set_display_name("Gate and promote")

        return Outputs(
            outcome=decided.outputs["Output"],
            dataset=data.outputs["dataset"],
            bundle=model.outputs["bundle"],
            memory=model.outputs["memory"],
            evaluation=judged.outputs["evaluation"],
            promotion=decided.outputs["promotion"],
        )

    return initial
