"""`parfocal segment --dicom-seg`: what was drawn of DICOM pictures and series, as DICOM Segmentation objects."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from parfocal.core.errors import UsageError

if TYPE_CHECKING:
    from parfocal.evaluation.segmentation import Segmented
    from parfocal.inference.sources import Source


def refuse(found: Sequence[Source], folder: Path) -> None:
    """Refuse sources that are no DICOM, and a folder that is there, before anything is drawn.

    Raises:
        UsageError: one is.
    """
    from parfocal.core.dicom import is_dicom

    if folder.exists():
        raise UsageError("it is there already", where=folder, next="name another folder")
    other = [source.file for source in found if not source.file.is_dir() and not is_dicom(source.file)]
    if other:
        raise UsageError(
            f"--dicom-seg, and {len(other)} of {len(found)} images are no DICOM", where=other[0],
            expected="DICOM pictures, or folders with a series", next="leave it out: the masks are written beside",
        )  # fmt: skip


def write(
    cases: Sequence[Segmented],
    found: Sequence[Source],
    out: Path,
    folder: Path,
    bundle: Path,
    model: str,
    series: str,
) -> dict[str, Path]:
    """Write ``NAME.dcm`` of every case into a new folder, all or none.

    Args:
        cases: as they were drawn.
        found: what they were drawn on.
        out: where their masks lie.
        folder: to make.
        bundle: that drew them.
        model: as it was named: a version of the registry, or something that is none.
        series: which one of a folder with several.

    Returns:
        The file by the case's name.

    Raises:
        DataContractError: a source lacks what a segmentation has to refer to.
    """
    from parfocal.core import bundle as bundles
    from parfocal.core import manifest
    from parfocal.preprocessing.exchange import dicom_seg_files
    from parfocal.preprocessing.exchange.dicom_seg import Author

    checksum = manifest.read(bundle).checksum
    author = Author(bundles.read(bundle).task, model if model.isdigit() else checksum[:12], checksum)
    files = {source.name: source.file for source in found}
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".dicom-seg-") as scratch:
        made = Path(scratch) / "objects"
        made.mkdir()
        for case in cases:
            told = case.result
            data = (
                dicom_seg_files.of_picture(
                    files[case.name], {name: out / file for name, file in told["masks"].items()}, author
                )
                if "masks" in told
                else dicom_seg_files.of_series(files[case.name], series, out / told["file"], told["labels"], author)
            )
            (made / f"{case.name}.dcm").write_bytes(data)
        made.rename(folder)
    return {case.name: folder / f"{case.name}.dcm" for case in cases}
