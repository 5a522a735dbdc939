"""What Kubeflow's page shows of a step: metrics, curves and summaries, taken from the sealed folders it wrote.

A component hands its output artifacts over and says nothing of what is in them. kfp is not imported: artifacts come
as they are.
"""

from __future__ import annotations

import math
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from parfocal.core.scores import EVALUATION, Evaluation
from parfocal.core.types import Decision
from parfocal.evaluation import curves


def show_evaluation(folder: Path, metrics: Any, curve: Any, report: Any, summary: Any) -> None:
    """Fill the artifacts that the Kubeflow UI renders from a sealed evaluation.

    Mean Dice by cell; the curve of glaucoma suspicion where the task has it, and otherwise the pixels of every
    structure as a confusion matrix; report and summary.
    """
    judged = Evaluation.model_validate_json((folder / EVALUATION).read_text())
    for model, scores in judged.scores.items():
        cells: dict[str, list[float]] = {}
        for score in scores:
            if "dice" in score.metrics:
                cells.setdefault(f"dice {score.instrument} {score.structure} {model}", []).append(score.metrics["dice"])
        log(metrics, {name: sum(values) / len(values) for name, values in cells.items()})
    roc = curves.suspicion(judged)
    if roc is not None:
        curve.log_roc_curve(list(roc.false_positive), list(roc.true_positive), list(roc.threshold))
    elif (pixels := curves.pixels(judged))[0]:
        curve.log_confusion_matrix(*pixels)
    shutil.copyfile(folder / "report.html", report.path)
    shutil.copyfile(folder / "summary.md", summary.path)


def show_decision(decision: Decision, folder: Path, metrics: Any, summary: Any) -> str:
    """Fill the artifacts that the Kubeflow UI renders from a gate's decision, and return its outcome."""
    log(metrics, {f"{c.name} {c.instrument} {c.structure}".strip(): c.value for c in decision.checks})
    metrics.metadata["outcome"] = decision.outcome.value
    shutil.copyfile(folder / "summary.md", summary.path)
    return decision.outcome.value


def show_dataset(folder: Path, summary: Any) -> None:
    """Write the summary of a sealed dataset: cases and patients by side, and what was left out, by reason."""
    from parfocal.preprocessing.shards import read_dataset
    from parfocal.preprocessing.split import ORDER

    dataset = read_dataset(folder)
    sides = {str(side): dataset.on(side) for side in ORDER}
    rows: list[tuple[object, ...]] = [
        (name, len(cases), len({case.patient for case in cases})) for name, cases in sides.items()
    ]
    if dataset.unlabelled:
        rows.append(("unlabelled", len(dataset.unlabelled), len({case.patient for case in dataset.unlabelled})))
    text = [f"# Dataset: {dataset.task}, {dataset.instrument}", "", *table(("side", "cases", "patients"), rows), ""]
    if dataset.rejected:
        text += [f"{len(dataset.rejected)} files were left out:", ""]
        first = {(one.reason, one.next): one.file for one in reversed(dataset.rejected)}
        counts = Counter((one.reason, one.next) for one in dataset.rejected)
        heading = ("files", "why", "what to do", "the first")
        text += table(heading, [(count, *why, first[why]) for why, count in counts.most_common()])
    else:
        text.append("No file was left out.")
    write(summary, text)


def write(artifact: Any, lines: list[str]) -> None:
    """A text artifact."""
    Path(artifact.path).parent.mkdir(parents=True, exist_ok=True)
    Path(artifact.path).write_text("\n".join(lines) + "\n")


def table(heading: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> list[str]:
    """Lines of a Markdown table. A cell's bars and line breaks would end it."""
    lines = ["| " + " | ".join(heading) + " |", "| --- " * len(heading) + "|"]
    cells = ([str(cell).replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows)
    return lines + ["| " + " | ".join(row) + " |" for row in cells]


def log(metrics: Any, values: Mapping[str, float]) -> None:
    """Kubeflow keeps metrics as JSON, which knows no NaN."""
    for name, value in values.items():
        if math.isfinite(value):
            metrics.log_metric(name, float(value))
