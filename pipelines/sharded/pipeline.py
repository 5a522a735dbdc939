"""The pipeline `sharded`."""

from typing import NamedTuple

from kfp import dsl
from parfocal_components.evaluate.component import evaluate
from parfocal_components.gather.component import gather
from parfocal_components.model_card.component import model_card
from parfocal_components.plan_shards.component import plan_shards
from parfocal_components.preprocess_shard.component import preprocess_shard
from parfocal_components.promote.component import promote
from parfocal_components.train.component import train
from parfocal_pipelines.ending import reported
from parfocal_pipelines.placement import FORM, Placements, imported, place

SIDE_BY_SIDE = 16
"""Shards that are looked at at a time: every one reads from the same store."""


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
        name="parfocal-sharded",
        display_name="Parfocal: first model, many images",
        description="Labelled images of a first instrument in, preprocessed by several pods side by side; a judged "
        "and registered first model out, the same as from one pod.",
    )
    def sharded(experience_uri: str, idempotency_key: str, config: str = FORM, shards: int = 8) -> Outputs:
        """Train the first model of a task from more images than one pod should preprocess.

        Args:
            experience_uri: Folder with the labelled images of one instrument, such as s3://bucket/camera-b/3. It must
                not change afterwards.
            idempotency_key: Name of this piece of work, such as camera-b-3. The same key goes on where it was stopped
                and promotes once.
            config: JSON of what differs from the defaults (parfocal config show --json prints those), at least the
                instrument's name between the last quotes.
            shards: Parts in which the images are preprocessed, each a pod's work, all images of a patient in one.
        """
        experience = imported(experience_uri, dsl.Dataset, "Experience")

        parts = plan_shards(shards=shards, config=config)
        place(parts, placements.promote, placements.platform).set_display_name("Shards")

        with dsl.ParallelFor(parts.output, parallelism=SIDE_BY_SIDE, name="Shard") as shard:
            looked = preprocess_shard(experience=experience.output, shard=shard, config=config)
            place(looked, placements.preprocess, placements.platform).set_display_name("Preprocess")

        data = gather(shards=dsl.Collected(looked.outputs["found"]), config=config)
        place(data, placements.preprocess, placements.platform).set_display_name("Gather")

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

        with dsl.If(decided.outputs["Output"] == "promote", name="Promoted"):
            card = model_card(promotion=decided.outputs["promotion"], config=config)
            place(card, placements.promote, placements.platform).set_display_name("Model card")

        return Outputs(
            outcome=decided.outputs["Output"],
            dataset=data.outputs["dataset"],
            bundle=model.outputs["bundle"],
            memory=model.outputs["memory"],
            evaluation=judged.outputs["evaluation"],
            promotion=decided.outputs["promotion"],
        )

    return sharded
