"""A bundle and pictures or volumes in, their masks out: with indicators, and post-processing measured on and off."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from parfocal.core import bundle, manifest
from parfocal.core.bundle import Bundle
from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.manifest import Manifest
from parfocal.core.protocols import Reporter, Run
from parfocal.core.task import TASKS
from parfocal.core.types import Problem
from parfocal.evaluation import segmentation, segmentation_page
from parfocal.evaluation.segmentation import WHOLE, Segmented
from parfocal.inference import segmenters, sources
from parfocal.inference.sources import Source
from parfocal.steps.config import RunConfig
from parfocal.steps.drawing import Drawer

CASES, RESULTS, PROBLEMS, EFFECTS = "cases.csv", "results.json", "problems.json", "postprocessing.csv"


@dataclass(frozen=True, slots=True)
class Written:
    """What was written.

    Attributes:
        manifest: of the folder.
        cases: that were segmented.
        problems: those that could not be, and truths that could not be read.
        figures: numbers for a tracker or a page, by name.
    """

    manifest: Manifest
    cases: tuple[Segmented, ...]
    problems: tuple[Problem, ...]
    figures: Mapping[str, float]


def run(
    model: Path,
    images: Sequence[Path],
    out: Path,
    config: RunConfig,
    *,
    reporter: Reporter,
    run: Run | None = None,
    shown: Mapping[str, str] | None = None,
) -> Written:
    """Draw the masks of `images` with the bundle `model` and write them with tables and a page to `out`.

    Of every picture ``NAME-STRUCTURE.png`` (0 and 255, as large as the picture) and ``NAME-overlay.jpg``, of a volume
    ``NAME-labels`` in its own space; results.json, cases.csv, report.html, summary.md, and problems.json with what
    could not be segmented: the others are written all the same. Where masks lie beside the pictures, every operation
    of post-processing is measured on and off (postprocessing.csv).

    Args:
        model: sealed bundle.
        images: files and folders, as `sources.find` takes them.
        config: its segment section.
        run: tracked run that gets numbers and tables, but no masks and no pictures.
        shown: files of `out` to the places of their copies, which a page shows.

    Raises:
        DataContractError: the bundle is not whole, there are no images, or none of them could be segmented.
        UsageError: what is asked for does not fit the bundle or the images; nothing is written.
    """
    spec, sealed = bundle.read(model), manifest.read(model)
    found = sources.find(images, modality(spec), tuple(spec.structures))
    _refuse(found, config, spec, model)
    drawer = Drawer.open(model, spec, config.segment, found)
    cases: list[Segmented] = []
    problems: list[Problem] = []
    with manifest.new_folder(
        out, "segmentation", parents=[sealed.parent(model)], config=config.model_dump(mode="json")
    ) as scratch:
        for done, source in enumerate(found):
            reporter.progress("segment", done, len(found))
            try:
                case, untrue = drawer.draw(source, scratch, reporter, pictured=len(cases) < config.segment.shown)
            except (DataContractError, OSError) as error:
                problems.append(_problem(source, error))
                if len(problems) == len(found):
                    raise
            else:
                cases.append(case)
                problems += untrue
        reporter.progress("segment", len(found), len(found))
        cases = segmentation.beside(cases, lambda name: config.segment.of(name).person)
        _write(scratch, spec, sealed, cases, problems)
    made = Written(manifest.read(out), tuple(cases), tuple(problems), _figures(cases, problems))
    _log(made, out, config, run)
    for name, place in (shown or {}).items():
        shutil.copyfile(out / name, place)
    return made


def modality(spec: Bundle) -> str:
    """Of a bundle's task; empty for a task that is not known here."""
    return TASKS[spec.task].modality if spec.task in TASKS else ""


def _refuse(found: Sequence[Source], config: RunConfig, spec: Bundle, model: Path) -> None:
    """Refuse what does not fit together, before anything is drawn."""
    asked, volumes = config.segment, [source for source in found if source.volume]
    asked.refuse_unknown([source.name for source in found])
    if asked.instrument and asked.instrument not in spec.instruments:
        raise UsageError(f"the model has not learned {asked.instrument}", where="segment.instrument",
                         expected=f"one of {', '.join(spec.instruments)}, or none")  # fmt: skip
    clicked = [source for source in found if asked.of(source.name).clicks]
    if any(source.volume for source in clicked):
        raise UsageError("a volume is not clicked", next="click one of its slices, saved as a picture")
    if asked.post is not None and volumes:
        raise UsageError(
            "post-processing (segment.post, --post) is for pictures", where=volumes[0].file,
            next="leave it out; volumes get the task's steps",
        )  # fmt: skip
    if segmenters.answers_clicks(spec) and not clicked:
        raise UsageError(
            f"this model draws {', '.join(spec.structures)} where it is clicked", where=model,
            next="give --clicks 'ROW,COL'",
        )  # fmt: skip
    people = [one.person for one in map(asked.of, (source.name for source in found)) if one.person]
    if many := sorted({person for person in people if people.count(person) != 2}):
        raise UsageError(f"{many[0]} has {people.count(many[0])} pictures", where="segment.known",
                         expected="two of one person: the two eyes")  # fmt: skip


def _problem(source: Source, error: Exception) -> Problem:
    if isinstance(error, DataContractError):
        return Problem(Path(error.where or source.file), error.what, error.next)
    return Problem(source.file, f"cannot be read: {getattr(error, 'strerror', None) or error}")


def _write(
    folder: Path, spec: Bundle, sealed: Manifest, cases: Sequence[Segmented], problems: Sequence[Problem]
) -> None:
    told = (spec.task, sealed.checksum, cases, problems, _remarks(spec, cases))
    (folder / RESULTS).write_text(json.dumps({case.name: case.result for case in cases}, indent=1) + "\n")
    listed = [{"file": str(one.file), "reason": one.reason, "next": one.next} for one in problems]
    (folder / PROBLEMS).write_text(json.dumps(listed, indent=1) + "\n")
    (folder / CASES).write_text(segmentation.table([segmentation.row(case) for case in cases]))
    (folder / "summary.md").write_text(segmentation_page.markdown(*told))
    (folder / "report.html").write_text(segmentation_page.page(*told))
    rows = [
        {"pictures": title, **segmentation.effect_row(one)}
        for title, found in segmentation.measured(cases)
        for one in found
    ]
    if rows:
        (folder / EFFECTS).write_text(segmentation.table(rows))


def _remarks(spec: Bundle, cases: Sequence[Segmented]) -> list[str]:
    remarks = []
    if any(case.measured for case in cases):
        gone = [one.instrument for one in spec.datasets if not Path(one.uri).is_dir()]
        if gone:
            remarks.append(
                f"The datasets of {', '.join(gone)} are not at hand: pictures that the networks learned from cannot "
                "all be told from new ones."
            )
        if missing := Drawer.unmeasured():
            remarks.append(f"Not measured, for want of scikit-image: {', '.join(missing)}.")
    return remarks


def _figures(cases: Sequence[Segmented], problems: Sequence[Problem]) -> dict[str, float]:
    figures = {"segmented": float(len(cases)), "problems": float(len(problems))}
    for case in cases:
        if case.suspicion is not None:
            name = f"suspicion {case.suspicion.level}"
            figures[name] = figures.get(name, 0.0) + 1
    for one in segmentation.effects([case for case in cases if not case.learned]):
        if one.operation == WHOLE:
            figures |= {f"dice {one.structure}": one.on, f"dice {one.structure} off": one.off}
        figures[f"change {one.structure} {one.operation}"] = one.on - one.off
    return figures


def _log(made: Written, out: Path, config: RunConfig, run: Run | None) -> None:
    if run is None:
        return
    run.params(config.flat())
    run.metrics(made.figures)
    for name in (CASES, EFFECTS, "summary.md"):
        if (out / name).is_file():
            run.artifact(out / name)
