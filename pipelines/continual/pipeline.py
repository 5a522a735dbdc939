"""The pipeline `continual`."""

from typing import NamedTuple

from kfp import dsl
from parfocal_components.evaluate.component import evaluate
from parfocal_components.preprocess.component import preprocess
from parfocal_components.promote.component import promote
from parfocal_components.retrain.component import retrain
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
        name="parfocal-continual",
        display_name="Parfocal: a new instrument",
        description="Labelled images of a new instrument and the champion in; a challenger that was judged against "
        "the champion on every instrument out, promoted only if it lost nowhere.",
        card=True,
    )
    def continual(experience_uri: str, champion_uri: str, idempotency_key: str, config: str = FORM) -> Outputs:
        """Teach the champion an instrument, judge it on all of them and let the gate decide.

        Args:
            experience_uri: Folder with the labelled images of one instrument, such as s3://bucket/camera-b/3. It must
                not change afterwards.
            champion_uri: Folder of the bundle that answers today: the registry says where the version with the alias
                champion is.
            idempotency_key: Name of this piece of work, such as camera-b-3. The same key goes on where it was stopped
                and promotes once.
            config: JSON of what differs from the defaults (parfocal config show --json prints those), at least the
                instrument's name between the last quotes.
        """
        experience = imported(experience_uri, dsl.Dataset, "Experience")
        champion = imported(champion_uri, dsl.Model, "Champion")

        data = preprocess(experience=experience.output, config=config, champion=champion.output)
        place(data, placements.preprocess, placements.platform).set_display_name("Preprocess")

        model = retrain(
            dataset=data.outputs["dataset"],
            champion=champion.output,
            config=config,
            idempotency_key=idempotency_key,
        )
        place(model, placements.retrain, placements.platform).set_display_name("Retrain")

        judged = evaluate(
            challenger=model.outputs["challenger"],
            config=config,
            idempotency_key=idempotency_key,
            champion=champion.output,
        )
        place(judged, placements.evaluate, placements.platform).set_display_name("Evaluate")

        decided = promote(
            evaluation=judged.outputs["evaluation"],
            challenger=model.outputs["challenger"],
            config=config,
            idempotency_key=idempotency_key,
        )
        place(decided, placements.promote, placements.platform).set_display_name("Gate and promote")

        return Outputs(
            outcome=decided.outputs["Output"],
            dataset=data.outputs["dataset"],
            bundle=model.outputs["challenger"],
            memory=model.outputs["memory"],
            evaluation=judged.outputs["evaluation"],
            promotion=decided.outputs["promotion"],
        )

    return continual
