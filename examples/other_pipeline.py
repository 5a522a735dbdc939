"""A pipeline of somebody else's with two of Parfocal's steps: an existing challenger is judged, and the gate decides.

`python examples/other_pipeline.py OUT.yaml` compiles it; the file is uploaded on Kubeflow's page, or run here with
`kfp.local`. Bundles come from wherever you keep them.
"""

import sys

from kfp import compiler, dsl

import parfocal.kubeflow

evaluate = parfocal.kubeflow.component("evaluate")
promote = parfocal.kubeflow.component("promote")


@dsl.component(base_image="python:3.11-slim-bookworm")
def tell(outcome: str):
    """A step of your own: mail, chat, a ticket."""
    print(f"the gate says: {outcome}")


@dsl.pipeline(name="second-opinion", display_name="Second opinion")
def second_opinion(challenger_uri: str, champion_uri: str, key: str, config: str = ""):
    """Judge a challenger that was trained elsewhere.

    Args:
        challenger_uri: Bundle to judge, such as s3://bucket/bundles/17.
        champion_uri: Bundle that answers today.
        key: Name of this piece of work; it promotes once.
        config: JSON of Parfocal's settings; empty means defaults.
    """
    challenger = dsl.importer(artifact_uri=challenger_uri, artifact_class=dsl.Model)
    champion = dsl.importer(artifact_uri=champion_uri, artifact_class=dsl.Model)
    judged = evaluate(challenger=challenger.output, champion=champion.output, config=config, idempotency_key=key)
    decided = promote(
        evaluation=judged.outputs["evaluation"], challenger=challenger.output, config=config, idempotency_key=key
    )
    for step in (judged, decided):  # Kubeflow compares addresses of inputs, not contents: yesterday's answer is none
        step.set_caching_options(enable_caching=False)
    with dsl.If(decided.outputs["Output"] != "promote", name="not promoted"):
        tell(outcome=decided.outputs["Output"])


if __name__ == "__main__":
    compiler.Compiler().compile(second_opinion, sys.argv[1])
