"""`parfocal demo`: instrument A is learned and promoted, then B arrives; real pipelines and a real registry."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from parfocal.cli import demo_view as view
from parfocal.core.errors import GateRefusedError, UsageError
from parfocal.core.types import Outcome

if TYPE_CHECKING:
    from parfocal.core.scores import Evaluation
    from parfocal.steps.config import RunConfig

PATIENTS = {"A": (0, 320), "B": (1000, 120)}
"""First number and count of the simulated patients. No patient is seen by both cameras. 80 of A and 60 of B are test
patients: with fewer the gate could not tell a true equal from a loss."""
COMMON = {"batch_size": 8, "augment": {"rotation": 30, "shift": 0.08, "zoom": [0.85, 1.2]}}
SETTINGS: dict[str, Any] = {
    "model": {"dropout_at": "bottom"},
    "train": {**COMMON, "steps": 220, "steps_for": {"cup": 150}, "learning_rate": 0.002, "validate_every": 40},
    "retrain": {
        "train": {**COMMON, "steps": 320, "steps_for": {"cup": 300}, "learning_rate": 0.0012, "validate_every": 40},
    },
}
"""A budget for ten minutes, 7,920 pictures in all; `parfocal train` alone has the papers' stronger augmentation."""


@dataclass
class Demo:
    """What the demo has done so far: its folder, its settings and how long each phase took."""

    out: Path
    phases: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str, title: str) -> Iterator[None]:
        """Announce a phase and time it."""
        view.heading(title)
        started = time.monotonic()
        yield
        self.phases[name] = round(time.monotonic() - started, 1)

    def pipeline(self, name: str, experience: Path, config: RunConfig, champion_uri: str = "") -> dict[str, str]:
        """Run a compiled pipeline to its end and return its outputs, folder by name."""
        from parfocal.adapters import kubeflow

        arguments = {
            "config": config.canonical_json(),
            "experience_uri": str(experience),
            "idempotency_key": f"demo-{name}-{config.data.instrument}",
        }
        if champion_uri:
            arguments["champion_uri"] = champion_uri
        (self.out / f"{name}.json").write_text(config.canonical_json())
        with view.reporter() as report:
            done = kubeflow.run_local(kubeflow.pipeline(name), arguments, self.out / "pipelines", reporter=report)
        return dict(done.outputs)


@click.command()
@click.option(
    "--data", type=click.Path(path_type=Path, exists=True, file_okay=False), help="First instrument's images."
)
@click.option(
    "--new", type=click.Path(path_type=Path, exists=True, file_okay=False), help="The instrument that arrives."
)
@click.option(
    "--out", default="runs/demo", show_default=True, type=click.Path(path_type=Path), help="Everything goes here."
)
def demo(data: Path | None, new: Path | None, out: Path) -> None:
    """Learn an instrument, promote it, then let another arrive: pipelines, registry, gate and report.

    Without arguments the images are simulated: cameras A and B photograph different patients. --data and --new take
    your own folders (images/NAME.jpg, disc/NAME.png, cup/NAME.png). Nothing outside --out is written.
    """
    if (data is None) != (new is None):
        raise UsageError("--data and --new go together", next="name both folders, or neither for simulated cameras")
    out = _fresh(out.absolute())
    # An embedded platform of its own: a demo never writes into somebody's registry.
    os.environ["PARFOCAL_STATE"] = str(out / "state")
    for name in ("MLFLOW_TRACKING_URI", "PARFOCAL_DATABASE_URL", "MLFLOW_RUN_ID", "PARFOCAL_SHARED"):
        os.environ.pop(name, None)
    run = Demo(out)
    view.welcome(out, _pictures(), _config("A").model)
    first, second = _experiences(run, data, new)
    _initial(run, *first)
    _continual(run, *second)


def _experiences(run: Demo, data: Path | None, new: Path | None) -> tuple[tuple[str, Path], tuple[str, Path]]:
    """Name and folder of both instruments' experiences."""
    if data is not None and new is not None:
        return (data.name, data.absolute()), (new.name, new.absolute())
    from parfocal import phantoms

    folders = {name: run.out / "experiences" / "fundus" / name / "1" for name in PATIENTS}
    with run.phase("phantoms", "Simulated cameras A and B photograph different patients"):
        for name, (start, count) in PATIENTS.items():
            phantoms.write(folders[name], name, range(start, start + count), seed=0)
            view.line(f"{name}: {count} patients, {folders[name]}")
    return ("A", folders["A"]), ("B", folders["B"])


def _initial(run: Demo, instrument: str, experience: Path) -> None:
    with run.phase("initial", f"Pipeline `initial`: learn {instrument} from nothing"):
        outputs = run.pipeline("initial", experience, _config(instrument))
    judged, decision = _judged(outputs)
    view.scores(judged)
    view.gate(decision)
    if outputs["outcome"] != Outcome.PROMOTE:
        raise GateRefusedError(f"the first model was not promoted: {decision['reason']}", where=outputs["promotion"])


def _continual(run: Demo, instrument: str, experience: Path) -> None:
    from parfocal.adapters import connect

    champion = connect().models.get("fundus", "champion")
    assert champion is not None, "the pipeline said that it promoted a model"
    with run.phase("continual", f"Pipeline `continual`: {instrument} arrives; champion is version {champion.version}"):
        outputs = run.pipeline("continual", experience, _config(instrument), champion.uri)
    judged, decision = _judged(outputs)
    view.scores(judged)
    view.gate(decision)
    after = connect().models.get("fundus", "champion")
    assert after is not None
    view.outcome(outputs["outcome"], decision, champion.version, after.version)
    if outputs["outcome"] == Outcome.INCONCLUSIVE:
        view.approval(_approval(run, outputs, instrument))
    shutil.copyfile(Path(outputs["evaluation"]) / "report.html", run.out / "report.html")
    summary = _summary(run, judged, decision, champion.version, after.version)
    (run.out / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    view.closing(run.out, run.phases)


def _config(instrument: str) -> RunConfig:
    from parfocal.steps.config import RunConfig

    return RunConfig.parse({**SETTINGS, "data": {"instrument": instrument}}, where="demo")


def _judged(outputs: dict[str, str]) -> tuple[Evaluation, dict[str, Any]]:
    from parfocal.core import scores

    decision = json.loads((Path(outputs["promotion"]) / "decision.json").read_text())
    return scores.read(Path(outputs["evaluation"])), decision


def _approval(run: Demo, outputs: dict[str, str], instrument: str) -> str:
    """The command with which a person takes an inconclusive decision upon themselves."""
    return (
        f"PARFOCAL_STATE={run.out / 'state'} {view.program()} promote {outputs['evaluation']} \\\n"
        f"    --challenger {outputs['bundle']} --out {run.out / 'approved'} \\\n"
        f"    --key demo-continual-{instrument} --config {run.out / 'continual.json'} \\\n"
        f"    --approve 'YOUR NAME' --reason 'WHY'"
    )


def _summary(run: Demo, judged: Evaluation, decision: dict[str, Any], before: str, after: str) -> dict[str, Any]:
    intervals = [
        {key: check[key] for key in ("name", "instrument", "structure", "outcome", "value", "limit", "interval")}
        for check in decision["checks"]
        if check["interval"]
    ]
    return {
        "instruments": list(judged.tests),
        "champion": {"before": before, "after": after},
        "dice": {"before": view.mean_dice(judged, "champion"), "after": view.mean_dice(judged, "challenger")},
        "constant_mask": view.mean_dice(judged, "constant"),
        "gate": {"decision": decision["outcome"], "reason": decision["reason"], "intervals": intervals},
        "phases": run.phases,
    }


def _pictures() -> int:
    config = _config("A")
    parts = (config.train, config.retrain.train)
    return sum(train.for_structure(name).steps * train.batch_size for train in parts for name in ("disc", "cup"))


def _fresh(out: Path) -> Path:
    """An empty folder; an earlier demo is moved aside, not removed."""
    if out.exists() and any(out.iterdir()):
        aside = out.with_name(f"{out.name}-before-{datetime.now().astimezone():%Y%m%d-%H%M%S}")
        out.rename(aside)
        view.line(f"an earlier demo is now {aside}")
    out.mkdir(parents=True, exist_ok=True)
    return out
