"""The pipeline `fleet`."""

from typing import NamedTuple

from kfp import dsl
from parfocal_components.champion.component import champion
from parfocal_components.evaluate.component import evaluate
from parfocal_components.plan_fleet.component import plan_fleet
from parfocal_components.preprocess.component import preprocess
from parfocal_components.promote.component import promote
from parfocal_components.retrain.component import retrain
from parfocal_pipelines.ending import reported
from parfocal_pipelines.placement import Placements, imported, place

ONE_AFTER_ANOTHER = 1
"""Two retrains of one champion at a time would each be judged against a champion that the other replaces."""


class Outputs(NamedTuple):
    outcomes: list


def build(placements: Placements):
    """Compose the pipeline with its steps placed as `placements` says."""

    @reported(
        placements,
        name="parfocal-fleet",
        display_name="Parfocal: several instruments",
        description="Labelled images of several instruments in; the champion learns one after another, each time "
        "judged on every instrument. The champion is found by its alias, when its turn comes.",
    )
    def fleet(experiences: dict, idempotency_key: str, config: str = "") -> Outputs:
        """Teach the champion several instruments, one after another.

        Args:
            experiences: Instrument to the address of its labelled images, such as {"camera-b": "s3://bucket/b/3"}.
            idempotency_key: Name of this piece of work, such as fleet-3. The same key goes on where it was stopped and
                promotes once.
            config: Canonical JSON of the run's configuration (parfocal config show --json); empty means defaults.
        """
        work = plan_fleet(experiences=experiences, config=config, idempotency_key=idempotency_key)
        place(work, placements.promote, placements.platform).set_display_name("Instruments")

        with dsl.ParallelFor(work.output, parallelism=ONE_AFTER_ANOTHER, name="Instrument") as piece:
            experience = imported(piece.experience_uri, dsl.Dataset, "Experience")

            before = champion(config=piece.config, idempotency_key=piece.key)
            place(before, placements.promote, placements.platform).set_display_name("Champion")

            data = preprocess(experience=experience.output, config=piece.config, champion=before.outputs["bundle"])
            place(data, placements.preprocess, placements.platform).set_display_name("Preprocess")

            model = retrain(
                dataset=data.outputs["dataset"],
                champion=before.outputs["bundle"],
                config=piece.config,
                idempotency_key=piece.key,
            )
            place(model, placements.retrain, placements.platform).set_display_name("Retrain")

            judged = evaluate(
                challenger=model.outputs["challenger"],
                config=piece.config,
                idempotency_key=piece.key,
                champion=before.outputs["bundle"],
            )
            place(judged, placements.evaluate, placements.platform).set_display_name("Evaluate")

            decided = promote(
                evaluation=judged.outputs["evaluation"],
                challenger=model.outputs["challenger"],
                config=piece.config,
                idempotency_key=piece.key,
            )
            place(decided, placements.promote, placements.platform).set_display_name("Gate and promote")

        return Outputs(outcomes=dsl.Collected(decided.outputs["Output"]))

    return fleet
