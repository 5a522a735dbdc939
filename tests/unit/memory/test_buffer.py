import json
from pathlib import Path

import numpy as np
import pytest

from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.manifest import Parent
from parfocal.memory.buffer import Memory
from parfocal.preprocessing.shards import Arrays


def arrays(*cases: str, seed: int = 0) -> Arrays:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (len(cases), 8, 8, 3), np.uint8)
    return Arrays(image, (image[..., 0] > 127).astype(np.uint8), cases)


PATIENTS = {"a1": "Ann", "a2": "Ben", "b1": "Cleo", "b2": "Ann"}


@pytest.fixture
def memory() -> Memory:
    return (
        Memory()
        .with_exemplars("A", "disc", arrays("a1", "a2"), PATIENTS)
        .with_exemplars("B", "disc", arrays("b1", "b2", seed=1), PATIENTS)
        .with_exemplars("A", "cup", arrays("a1", seed=2), PATIENTS)
    )


def cases(memory: Memory, structure: str) -> dict[str, tuple[str, ...]]:
    return {name: kept.case_ids for name, kept in memory.arrays(structure).items()}


def test_exemplars_are_kept_by_structure_and_instrument(memory: Memory) -> None:
    assert cases(memory, "disc") == {"A": ("a1", "a2"), "B": ("b1", "b2")}
    assert cases(memory, "cup") == {"A": ("a1",)}
    assert cases(memory, "fovea") == {}


def test_a_memory_is_never_changed_in_place(memory: Memory) -> None:
    memory.with_exemplars("A", "disc", arrays("a2"), PATIENTS)
    memory.purge("A")
    memory.purge_patient("Ann")
    assert cases(memory, "disc") == {"A": ("a1", "a2"), "B": ("b1", "b2")}
    with pytest.raises(TypeError):
        memory.arrays("disc")["A"] = arrays()  # type: ignore[index]


def test_new_exemplars_take_the_place_of_the_old_and_the_forgotten_are_gone(memory: Memory) -> None:
    smaller = memory.with_exemplars("B", "disc", arrays("b1", seed=1), PATIENTS)
    assert cases(smaller, "disc") == {"A": ("a1", "a2"), "B": ("b1",)}
    assert set(smaller.patients) == {"a1", "a2", "b1"}


def test_no_exemplars_is_no_entry(memory: Memory) -> None:
    assert cases(memory.with_exemplars("A", "cup", arrays(), {}), "cup") == {}


def test_a_case_without_a_patient_cannot_enter() -> None:
    with pytest.raises(DataContractError, match=r"patient is not known\n  where: x"):
        Memory().with_exemplars("A", "disc", arrays("a1", "x"), PATIENTS)


def test_a_folder_reads_back_as_it_was_written(memory: Memory, tmp_path: Path) -> None:
    memory.purge("C").write(tmp_path / "m")
    read = Memory.read(tmp_path / "m")
    assert read.patients == PATIENTS
    assert read.purges == memory.purge("C").purges
    for structure in ("disc", "cup"):
        assert cases(read, structure) == cases(memory, structure)
        for name, kept in memory.arrays(structure).items():
            np.testing.assert_array_equal(read.arrays(structure)[name].image, kept.image)
            np.testing.assert_array_equal(read.arrays(structure)[name].mask, kept.mask)


def test_an_empty_memory_is_a_folder_too(tmp_path: Path) -> None:
    Memory().write(tmp_path / "m")
    assert cases(Memory.read(tmp_path / "m"), "disc") == {}


def test_equal_memories_have_equal_checksums_in_whatever_order_they_were_filled(memory: Memory, tmp_path: Path) -> None:
    other = (
        Memory()
        .with_exemplars("A", "cup", arrays("a1", seed=2), PATIENTS)
        .with_exemplars("B", "disc", arrays("b1", "b2", seed=1), PATIENTS)
        .with_exemplars("A", "disc", arrays("a1", "a2"), PATIENTS)
    )
    assert memory.write(tmp_path / "one").checksum == other.write(tmp_path / "other").checksum


def test_its_parents_are_on_record_and_nothing_is_overwritten(memory: Memory, tmp_path: Path) -> None:
    parent = Parent("dataset", "/data", "0" * 64)
    assert memory.write(tmp_path / "m", parents=[parent]).parents == (parent,)
    with pytest.raises(UsageError, match="already there"):
        memory.write(tmp_path / "m")


def test_a_purged_instrument_leaves_no_trace_but_the_record(memory: Memory, tmp_path: Path) -> None:
    purged = memory.purge("A")
    assert cases(purged, "disc") == {"B": ("b1", "b2")}
    assert cases(purged, "cup") == {}
    assert [(p.instrument, p.removed) for p in purged.purges] == [("A", 3)]
    purged.write(tmp_path / "m")
    assert not (tmp_path / "m" / "arrays" / "cup.safetensors").exists()
    assert "Ben" not in (tmp_path / "m" / "exemplars.json").read_text()


def test_a_purged_patient_leaves_every_instrument_and_never_comes_back(memory: Memory, tmp_path: Path) -> None:
    purged = memory.purge_patient("Ann")
    assert cases(purged, "disc") == {"A": ("a2",), "B": ("b1",)}
    assert cases(purged, "cup") == {}
    assert [p.removed for p in purged.purges] == [3]
    purged.write(tmp_path / "m")
    assert "Ann" not in (tmp_path / "m" / "exemplars.json").read_text()
    again = Memory.read(tmp_path / "m").with_exemplars("A", "disc", arrays("a1", "a2"), PATIENTS)
    assert cases(again, "disc")["A"] == ("a2",)


def test_pictures_keep_their_cases_when_others_are_purged(memory: Memory) -> None:
    kept = memory.purge_patient("Ann").arrays("disc")["A"]
    np.testing.assert_array_equal(kept.image[0], memory.arrays("disc")["A"].image[1])


@pytest.mark.parametrize("name", ["exemplars.json", "arrays/disc.safetensors"])
def test_a_damaged_file_is_named(memory: Memory, tmp_path: Path, name: str) -> None:
    memory.write(tmp_path / "m")
    file = tmp_path / "m" / name
    file.write_bytes(file.read_bytes()[:-2])
    with pytest.raises(DataContractError, match=name):
        Memory.read(tmp_path / "m")


def test_rows_that_do_not_fit_the_list_are_refused(memory: Memory, tmp_path: Path) -> None:
    from parfocal.core import manifest

    memory.write(tmp_path / "m")
    file = tmp_path / "m" / "exemplars.json"
    record = json.loads(file.read_text())
    record["structures"]["disc"].pop()
    file.write_text(json.dumps(record))
    manifest.seal(tmp_path / "m", "memory")
    with pytest.raises(DataContractError, match=r"not the 3 that exemplars\.json lists"):
        Memory.read(tmp_path / "m")
