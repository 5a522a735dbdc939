"""What a service says of the instruments that its champion has learned."""

from pathlib import Path

from parfocal_serving.segmenter.lineage import Learned, learned

from parfocal.core import manifest
from parfocal.core.bundle import BUNDLE, Bundle, DatasetRef, ParentRef
from parfocal.core.types import Split
from parfocal.preprocessing.fundus import FundusRecipe
from parfocal.preprocessing.shards import Dataset, DatasetCase, write_dataset


def dataset(folder: Path, instrument: str, patients: str) -> DatasetRef:
    """Patients by letter; capitals are on the test side."""
    cases = tuple(
        DatasetCase(
            id=f"{i}", patient=name, split=Split.TEST if name.isupper() else Split.TRAIN, image="", masks={},
            mask_checksums={}, checksum="",
        )
        for i, name in enumerate(patients)
    )  # fmt: skip
    with manifest.new_folder(folder, "dataset") as scratch:
        write_dataset(scratch, Dataset(task="fundus", instrument=instrument, reader="folder", recipe=FundusRecipe(),
                                       quota=(60, 15, 25), cases=cases, test_checksum=""))  # fmt: skip
    return DatasetRef(instrument=instrument, uri=str(folder), checksum=manifest.read(folder).checksum)


def bundle(folder: Path, datasets: list[DatasetRef], parent: Path | None = None) -> Bundle:
    names = tuple(dict.fromkeys(one.instrument for one in datasets))
    before = parent and ParentRef(uri=str(parent), checksum=manifest.read(parent).checksum)
    made = Bundle(task="fundus", structures={}, recipe={}, instruments=names, datasets=tuple(datasets), parent=before)
    with manifest.new_folder(folder, "bundle") as scratch:
        (scratch / BUNDLE).write_text(made.model_dump_json())
    file = folder / manifest.MANIFEST  # whose date has whole seconds, and is no part of the checksum
    file.write_text(file.read_text().replace(manifest.read(folder).created, f"made as {folder.name}"))
    return made


def test_patients_are_counted_once_and_the_date_is_of_the_first_that_knew_the_instrument(tmp_path: Path) -> None:
    first, more = dataset(tmp_path / "a1", "A", "aabC"), dataset(tmp_path / "a2", "A", "bd")
    other = dataset(tmp_path / "b", "B", "xyZ")
    bundle(tmp_path / "one", [first])
    bundle(tmp_path / "two", [first, other], tmp_path / "one")
    last = bundle(tmp_path / "three", [first, other, more], tmp_path / "two")
    assert learned(tmp_path / "three", last) == {"A": Learned(3, "made as one"), "B": Learned(2, "made as two")}


def test_what_is_not_on_this_machine_or_has_changed_is_not_guessed(tmp_path: Path) -> None:
    here, away = dataset(tmp_path / "a", "A", "ab"), dataset(tmp_path / "b", "B", "c")
    bundle(tmp_path / "one", [here])
    last = bundle(tmp_path / "two", [here, away], tmp_path / "one")
    (tmp_path / "b").rename(tmp_path / "elsewhere")
    changed = tmp_path / "one" / manifest.MANIFEST
    changed.write_text(changed.read_text().replace(manifest.read(tmp_path / "one").checksum, "0" * 64))
    assert learned(tmp_path / "two", last) == {"A": Learned(2, None), "B": Learned(None, None)}
