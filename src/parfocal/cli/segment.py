"""`parfocal segment`: masks, an overlay and indicators of pictures and volumes, from a trained bundle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from parfocal.cli import objects
from parfocal.cli.console import Options
from parfocal.core.errors import DataContractError, UsageError

if TYPE_CHECKING:
    from parfocal.evaluation.segmentation import Segmented
    from parfocal.inference.sources import Source


@click.command()
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", required=True, help="Bundle folder, or a version or alias (champion) of the registry.")
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder to write; new.")
@click.option("--task", default="fundus", show_default=True, help="Whose registry --model is looked up in.")
@click.option(
    "--runtime",
    default="auto",
    show_default=True,
    help="openvino (or openvino-bf16, -f16, -f32), onnxruntime, pytorch; auto: PARFOCAL_RUNTIME, else what fits here.",
)
@click.option(
    "--post",
    default="",
    metavar="STEPS",
    help="Post-processing, in order. Default: the task's own.",
)
@click.option("--clicks", default="", metavar="'ROW,COL ...'", help="Clicks on the one IMAGE; -ROW,COL is background.")
@click.option(
    "--structure",
    default="",
    help="What --clicks belong to (default: the outermost structure); of a volume: write this one alone.",
)
@click.option("--instrument", default="", help="That acquired IMAGES, for a bundle with a network for each.")
@click.option("--series", default="", metavar="UID", help="Which one, of a folder with several DICOM series.")
@click.option("--eye", multiple=True, type=click.Choice(["left", "right"]), help="Once for all, or once an IMAGE.")
@click.option(
    "--dicom-seg",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write; new. Of DICOM IMAGES: NAME.dcm, a DICOM Segmentation object a picture or series.",
)
@click.option("--same-person", is_flag=True, help="The two IMAGES are the two eyes of one person.")
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON object on standard output.")
@click.option("--quiet", is_flag=True, help="No progress.")
def segment(
    images: tuple[Path, ...],
    model: str,
    out: Path,
    task: str,
    runtime: str,
    post: str,
    clicks: str,
    structure: str,
    instrument: str,
    series: str,
    eye: tuple[str, ...],
    dicom_seg: Path | None,
    same_person: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Draw the masks of IMAGES (files, or folders of pictures) with a trained bundle.

    \b
    A folder of photographs:   parfocal segment photos/ --model runs/first --out masks
    The champion, two eyes:    parfocal segment r.jpg l.jpg --model champion --eye right --eye left
                               --same-person --out masks
    Rounder outlines:          parfocal segment a.jpg --model runs/first --post largest,holes,ellipse --out masks
    Steered by clicks:         parfocal segment a.jpg --model runs/clicked --clicks '210,340 -80,60' --out masks
    A CT or MR volume:         parfocal segment scan.nii.gz --model runs/bone --out masks
    A folder of DICOM slices:  parfocal segment series/ --model runs/bone --out masks
    Its answer as DICOM SEG:   parfocal segment series/ --model runs/bone --out masks --dicom-seg objects
    On Kubeflow:               parfocal pipeline run segmented --experience photos/ --champion champion

    OUT gets, for each picture, NAME-STRUCTURE.png (0 and 255, as large as the picture), NAME-overlay.jpg with the
    outlines, and results.json, cases.csv, report.html. For a volume it gets a label volume in the source's own space.
    What cannot be read is left out and told at the end (problems.json); the others are written.

    Post-processing: largest (one piece), holes (filled), convex, ellipse (the shape an ophthalmologist draws), inside
    (within the outer structure), crf (the outline moves to edges in the picture; needs 'parfocal[crf]'), or none.
    A bundle is judged and served with its task's own steps: others make other masks than those it was promoted with.
    Of a dataset, or of a folder images/ with masks beside it (disc/, cup/), each is measured on and off.

    Of photographs with disc and cup, cup-to-disc ratios and the ISNT rule are printed beside their published ranges.
    They are indicators for a clinician and no diagnosis. ISNT needs --eye, or a DICOM file that says it.

    DICOM Segmentation objects carry patient and study of their source, refer to its pictures, and name the model; they
    need 'parfocal[dicom]'.
    """
    from parfocal.inference import sources

    options = Options(None, (), as_json, quiet)
    found = sources.find(images)
    if not any(source.file.is_dir() for source in found):  # what is in those is known when the task is
        _check(found, clicks, eye, same_person)
    asked = {"runtime": runtime, "structure": structure, "series": series, "post": _post(post)}
    asked["instrument"] = instrument
    _config(task, asked)

    from parfocal.core import bundle
    from parfocal.steps import segment as step

    folder = _bundle(model, task)
    spec = bundle.read(folder)
    found = sources.find(images, step.modality(spec))
    _check(found, clicks, eye, same_person)
    if dicom_seg is not None:
        objects.refuse(found, dicom_seg)
    config = _config(spec.task, {**asked, "known": _known(found, clicks, eye, same_person)})
    with options.reporter() as report:
        made = step.run(folder, images, out, config, reporter=report)
    results = {case.name: _placed(case.result, out) for case in made.cases}
    written = {} if dicom_seg is None else objects.write(made.cases, found, out, dicom_seg, folder, model, series)
    for name, file in written.items():
        results[name]["dicom_seg"] = str(file)
    options.result({"out": out, "results": results}, _text(made.cases, out))
    if made.problems:
        told = "".join(f"\n    {problem.file}: {problem.reason}" for problem in made.problems)
        missing = len(found) - len(made.cases)
        what = f"{missing} of {len(found)} could not be segmented" if missing else "not every truth could be read"
        raise DataContractError(f"{what}:{told}", where=out,
                                next="the others are written; mend these and segment them alone")  # fmt: skip


def _check(found: Sequence[Source], clicks: str, eye: Sequence[str], same_person: bool) -> None:
    """Refuse words that do not fit the number of images."""
    if clicks and len(found) != 1:
        raise UsageError(f"--clicks belong to one image, and there are {len(found)}", next="segment it alone")
    if len(eye) not in {0, 1, len(found)}:
        raise UsageError(f"--eye {len(eye)} times for {len(found)} images", expected="once, or once an image")
    if same_person and len(found) != 2:
        raise UsageError(f"--same-person with {len(found)} images", expected="the photographs of two eyes")


def _post(steps: str) -> dict[str, Any] | None:
    if not steps:
        return None
    return {"steps": () if steps == "none" else tuple(step.strip() for step in steps.split(","))}


def _known(found: Sequence[Source], clicks: str, eye: Sequence[str], same_person: bool) -> list[dict[str, Any]]:
    eyes = tuple(eye) * len(found) if len(eye) == 1 else tuple(eye) or (None,) * len(found)
    person = "the person" if same_person else ""
    return [
        {"name": source.name, "eye": side, "clicks": clicks, "person": person}
        for source, side in zip(found, eyes, strict=True)
        if side or clicks or person
    ]


def _config(task: str, asked: dict[str, Any]) -> Any:
    from parfocal.steps.config import RunConfig

    return RunConfig.parse({"task": task, "segment": asked}, where="options")


def _bundle(model: str, task: str) -> Path:
    if Path(model).is_dir():
        return Path(model)
    from parfocal.adapters import connect

    platform = connect()
    return platform.models.fetch(task, model, platform.settings.state / "models")


def _placed(result: Any, out: Path) -> dict[str, Any]:
    """What results.json says of a case, with its files as paths."""
    told = dict(result)
    for key in told.keys() & {"overlay", "file"}:
        told[key] = str(out / told[key])
    if "masks" in told:
        told["masks"] = {structure: str(out / file) for structure, file in told["masks"].items()}
    return told


def _text(cases: Sequence[Segmented], out: Path) -> str:
    from parfocal.evaluation.suspicion import WARNING

    lines = []
    for case in cases:
        unit = "pixels" if "pixels" in case.result else "voxels"
        sizes = (f"{key} {count} {unit}" if count else f"{key} not found" for key, count in case.result[unit].items())
        lines.append(f"{case.name}: {', '.join(sizes)}")
        lines += [case.suspicion.text()] if case.suspicion else []
    warned = [WARNING] if any(case.suspicion for case in cases) else []
    return "\n".join([*lines, *warned, f"written to {out}"])
