"""The frozen test cases of every instrument: the union over all datasets, checked to be what was frozen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from parfocal.core.errors import DataContractError
from parfocal.core.scores import FrozenTest
from parfocal.core.types import Split
from parfocal.preprocessing.images import Pixels, decode_image, decode_mask
from parfocal.preprocessing.shards import DatasetCase, checksum_of_tests, read_dataset


@dataclass(frozen=True, slots=True)
class FrozenCase:
    """One test case and where its files are.

    Attributes:
        case: with the masks of all datasets that have it.
        masks: file by structure; one that nobody labelled is absent.
    """

    instrument: str
    case: DatasetCase
    image: Path
    masks: dict[str, Path]

    def read_image(self) -> Pixels:
        """The photograph as it came, BGR uint8 [H, W, 3]."""
        return decode_image(self.image.read_bytes())

    def read_masks(self) -> dict[str, NDArray[np.bool_]]:
        """The truth by structure, bool [H, W]."""
        return {name: decode_mask(file.read_bytes(), empty=True) > 0 for name, file in self.masks.items()}


def frozen_cases(folders: Iterable[Path]) -> tuple[FrozenCase, ...]:
    """All test cases that have a mask, by instrument (as the datasets come) and id.

    A case that came again in a later dataset, with a structure that it had lacked, is one case with the masks of both.

    Args:
        folders: sealed datasets whose manifests have been verified, oldest first.

    Raises:
        DataContractError: two datasets have the case with another image or another mask of the same structure.
    """
    found: dict[tuple[str, str], FrozenCase] = {}
    order: dict[str, int] = {}
    for folder in folders:
        dataset = read_dataset(folder)
        order.setdefault(dataset.instrument, len(order))
        for case in dataset.on(Split.TEST):
            masks = {name: folder / path for name, path in case.masks.items()}
            new = FrozenCase(dataset.instrument, case, folder / case.image, masks)
            place = dataset.instrument, case.id
            found[place] = _joined(found[place], new) if place in found else new
    labelled = (case for case in found.values() if case.masks)
    return tuple(sorted(labelled, key=lambda case: (order[case.instrument], case.case.id)))


def frozen_test(cases: Sequence[FrozenCase], uses: int) -> FrozenTest:
    """What an evaluation says of one instrument's test cases; `uses` from the ledger."""
    return FrozenTest(
        checksum=checksum_of_tests(case.case for case in cases),
        cases=len(cases),
        patients=len({case.case.patient for case in cases}),
        uses=uses,
    )


def _joined(old: FrozenCase, new: FrozenCase) -> FrozenCase:
    same = old.case.mask_checksums.keys() & new.case.mask_checksums.keys()
    changed = [name for name in sorted(same) if old.case.mask_checksums[name] != new.case.mask_checksums[name]]
    if old.case.checksum != new.case.checksum or changed:
        raise DataContractError(
            f"the frozen test case {old.case.id} has another {changed[0] + ' mask' if changed else 'image'} here",
            where=new.image,
            expected=f"what it has in {old.image}",
            next="test cases never change; preprocess the later data with --champion, which checks it",
        )
    sums = {**old.case.mask_checksums, **new.case.mask_checksums}
    case = new.case.model_copy(update={"mask_checksums": sums, "masks": {**old.case.masks, **new.case.masks}})
    return FrozenCase(old.instrument, case, new.image, {**old.masks, **new.masks})
