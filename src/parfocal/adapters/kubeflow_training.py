"""What Kubeflow's page shows of a training: its best validation, its length, its strategy, and the memory it leaves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parfocal.adapters.kubeflow_shown import log, table, write
from parfocal.core import bundle, manifest
from parfocal.core.bundle import Bundle


@dataclass(frozen=True, slots=True)
class Trained:
    """One network's training, as its last checkpoint has it.

    Attributes:
        name: of the network: a structure's, or that of a network of several.
        steps: taken.
        seconds: they took, over all attempts.
        best: of the best validation: `step`, `score` (the mean over instruments), and a score by instrument, such as
            ``dice/Cam A``. Empty where nothing was held out.
    """

    name: str
    steps: int
    seconds: float
    best: Mapping[str, float]

    @property
    def scores(self) -> dict[str, float]:
        """By measure and instrument."""
        return {key: one for key, one in self.best.items() if "/" in key and not key.startswith("loss/")}


def show_training(folder: Path, state: Path, metrics: Any, summary: Any) -> None:
    """Fill the artifacts that the Kubeflow UI renders from a sealed bundle that was just trained.

    Args:
        folder: the bundle.
        state: holds the checkpoints under ``checkpoints/<key>``.
        metrics: gets the best validation score by structure and instrument, steps and seconds.
        summary: gets the same as a table, the strategy, and what is in the memory.
    """
    made = bundle.read(folder, verify=False)
    trained = [one for name in _networks(made) if (one := _last(state / "checkpoints" / made.key / name, name))]
    for one in trained:
        measured = {f"best validation {key.replace('/', ' ')} {one.name}": value for key, value in one.scores.items()}
        log(metrics, {**measured, f"steps {one.name}": one.steps, f"seconds {one.name}": one.seconds})
    write(summary, [*_heading(made), "", *_rows(trained), "", *_strategy(made, folder), "", *_memory(made)])


def _networks(made: Bundle) -> list[str]:
    """Names of the folders with checkpoints: a network's own folder in the bundle."""
    return list(dict.fromkeys(model.folder for model in made.structures.values()))


def _last(folder: Path, name: str) -> Trained | None:
    """The newest checkpoint's account; None for a network that this run did not train."""
    entries = sorted(folder.glob("step-*.json"))
    if not entries:
        return None
    told = json.loads(entries[-1].read_text())["meta"]["state"]
    scored = [entry for entry in told["history"] if "score" in entry]
    return Trained(name, told["done"], told["seconds"], max(scored, key=lambda entry: entry["score"], default={}))


def _heading(made: Bundle) -> list[str]:
    start = f"from bundle `{made.parent.checksum[:12]}`" if made.parent else "from no earlier bundle"
    return [f"# Training: {made.task}, {', '.join(made.instruments)}", "", f"Key `{made.key}`, {start}."]


def _rows(trained: list[Trained]) -> list[str]:
    if not trained:
        return ["No checkpoint of this run is here, so how it went is in its tracked run alone."]
    rows = []
    for one in trained:
        scores = ", ".join(f"{key.replace('/', ' ')} {value:.3f}" for key, value in one.scores.items())
        best = scores or "nothing held out", one.best.get("step", "–")
        rows.append((one.name, *best, one.steps, f"{one.seconds:.1f}"))
    return table(("network", "best validation", "at step", "steps", "seconds"), rows)


def _strategy(made: Bundle, folder: Path) -> list[str]:
    if made.parent is None:
        origins = {f"{one.objective} `{one.checksum[:12]}`" for m in made.structures.values() if (one := m.pretrained)}
        return [f"Pretrained: {', '.join(sorted(origins))}." if origins else "Started from random weights."]
    settings = manifest.read(folder).config["retrain"]["strategy"]
    return [f"Strategy {made.strategy}: `{json.dumps(settings, sort_keys=True)}`."]


def _memory(made: Bundle) -> list[str]:
    """Exemplars in the memory that goes with the bundle: what the next retrain rehearses."""
    from parfocal.memory.buffer import Memory

    kept = Memory.read(Path(made.memory_uri)).exemplars
    rows = [(name, instrument, len(one.arrays)) for name, own in kept.items() for instrument, one in own.items()]
    came = "; those of instruments before the last came from the champion's memory" if made.parent else ""
    return [f"Exemplars in the memory{came}:", "", *table(("structure", "instrument", "frames"), rows)]
