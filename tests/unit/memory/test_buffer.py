import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.manifest import Parent
from parfocal.memory.buffer import Memory, evenly
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
    assert smaller.patients == {"A": {"a1": "Ann", "a2": "Ben"}, "B": {"b1": "Cleo"}}


def test_no_exemplars_is_no_entry(memory: Memory) -> None:
    assert cases(memory.with_exemplars("A", "cup", arrays(), {}), "cup") == {}


def test_a_case_without_a_patient_cannot_enter() -> None:
    with pytest.raises(DataContractError, match=r"patient is not known\n  where: x"):
        Memory().with_exemplars("A", "disc", arrays("a1", "x"), PATIENTS)


def test_a_folder_reads_back_as_it_was_written(memory: Memory, tmp_path: Path) -> None:
    memory.purge("C").write(tmp_path / "m")
    read = Memory.read(tmp_path / "m")
    assert read.patients == memory.patients
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


def test_cases_of_one_name_at_two_instruments_keep_their_own_patients(tmp_path: Path) -> None:
    """The patient of A's case 001 was lost as soon as B had a case 001, so that a purge left A's picture there."""
    both = (
        Memory()
        .with_exemplars("A", "disc", arrays("001"), {"001": "Ann"})
        .with_exemplars("B", "disc", arrays("001", seed=1), {"001": "Ben"})
    )
    both.write(tmp_path / "m")
    for one in (both, Memory.read(tmp_path / "m")):
        assert cases(one.purge_patient("Ann"), "disc") == {"B": ("001",)}


def logits(count: int, value: float = 1.0) -> np.ndarray:
    return np.full((count, 1, 8, 8), value, np.float16) + np.arange(count, dtype=np.float16)[:, None, None, None]


def test_logits_and_what_is_carried_survive_the_disk_and_follow_their_pictures(memory: Memory, tmp_path: Path) -> None:
    told = memory.with_logits("disc", {"B": logits(2)}).with_carried("disc", {"w": np.array([1.5], np.float32)})
    told.write(tmp_path / "m")
    read = Memory.read(tmp_path / "m")
    assert set(read.logits("disc")) == {"B"}
    np.testing.assert_array_equal(read.logits("disc")["B"], logits(2))
    np.testing.assert_array_equal(read.carried["disc"]["w"], [1.5])
    left = read.purge_patient("Cleo")
    assert left.logits("disc")["B"][:, 0, 0, 0].tolist() == [2.0], "the row of the picture that stays"
    assert left.carried == {}, "what was computed of purged pictures goes with them"
    assert read.purge_patient("nobody").carried == read.carried
    shared = read.with_carried("together", {"w": np.array([2.5], np.float32)}).with_carried("cup", {})
    assert shared.purge_patient("Cleo").carried == {}, "of a network of several structures, too"


def test_what_is_carried_is_replaced_by_what_comes(memory: Memory) -> None:
    carrying = memory.with_carried("disc", {"w": np.zeros(1, np.float32)}).with_carried("cup", {})
    assert set(carrying.carried) == {"disc"}
    assert carrying.with_carried("disc", {}).carried == {}


def test_pictures_of_a_purged_patient_are_not_permitted(memory: Memory) -> None:
    new = arrays("n1", "n2")
    known = {"n1": "Ann", "n2": "Zoe"}
    assert memory.permitted(new, known).case_ids == ("n1", "n2")
    assert memory.purge_patient("Ann").permitted(new, known).case_ids == ("n2",)


def test_how_many_were_seen_is_kept_and_shrinks_with_a_purge(memory: Memory, tmp_path: Path) -> None:
    memory.with_exemplars("A", "disc", arrays("a1", "a2"), PATIENTS, seen=30).write(tmp_path / "m")
    read = Memory.read(tmp_path / "m")
    kept, purged = read.kept("disc", "A"), read.purge_patient("Ann").kept("disc", "A")
    assert kept is not None
    assert purged is not None
    assert (kept.seen, purged.seen) == (30, 29)


def test_places_are_shared_evenly() -> None:
    assert evenly({"A": 20, "B": 3, "C": 20}, 15) == {"A": 6, "B": 3, "C": 6}
    assert evenly({"A": 2, "B": 2}, 3) == {"A": 2, "B": 1}
    assert evenly({"A": 2}, 9) == {"A": 2}


def crowd(count: int) -> Memory:
    names = [f"{i:02d}" for i in range(count)]
    made = Memory()
    for instrument in "AB":
        own = [f"{instrument}{name}" for name in names]
        made = made.with_exemplars(instrument, "disc", arrays(*own), {case: f"patient {case}" for case in own})
    return made


def test_a_full_memory_shrinks_evenly_and_in_order_of_worth() -> None:
    found = cases(crowd(10).bounded(["disc"], 7, ordered=True), "disc")
    assert found == {"A": ("A00", "A01", "A02", "A03"), "B": ("B00", "B01", "B02")}


def test_who_stays_of_a_random_choice_is_a_matter_of_the_seed_and_shrinks_step_by_step() -> None:
    six, four = (crowd(10).bounded(["disc"], limit, ordered=False, seed=1) for limit in (12, 8))
    assert set(cases(four, "disc")["A"]) < set(cases(six, "disc")["A"])
    assert cases(crowd(10).bounded(["disc"], 8, ordered=False, seed=2), "disc") != cases(four, "disc")
    assert cases(six.bounded(["disc"], 8, ordered=False, seed=1), "disc") == cases(four, "disc")


def test_two_structures_of_one_network_share_the_bound_and_keep_the_same_patients() -> None:
    """Nobody drew the cups of B: bounded alone, the cup would keep six of A beside three of the disc's."""
    made = crowd(6)
    own = [f"A{i:02d}" for i in range(6)]
    made = made.with_exemplars("A", "cup", arrays(*own), {case: f"patient {case}" for case in own})
    full = made.bounded(["disc", "cup"], 6, ordered=False)
    kept = {(name, case) for structure in ("disc", "cup") for name, of in cases(full, structure).items() for case in of}
    assert len(kept) == 6
    assert cases(full, "cup")["A"] == cases(full, "disc")["A"]


def test_a_case_that_was_drawn_anew_has_its_new_mask_and_what_was_said_of_its_picture(memory: Memory) -> None:
    said = np.ones((2, 1, 8, 8), np.float16)
    memory = memory.with_exemplars("A", "disc", arrays("a1", "a2"), PATIENTS, logits=said)
    was = memory.arrays("disc")["A"]
    drawn = Arrays(was.image[[1, 1]], np.stack([1 - was.mask[1], was.mask[0]]), ("a2", "a3"))
    now = memory.relabelled("A", "disc", drawn)
    assert cases(now, "disc") == cases(memory, "disc")
    np.testing.assert_array_equal(now.arrays("disc")["A"].mask, np.stack([was.mask[0], 1 - was.mask[1]]))
    assert set(now.logits("disc")) == {"A"}
    other = replace(drawn, image=255 - drawn.image)
    assert not memory.relabelled("A", "disc", other).logits("disc"), "said of a picture that is not kept any more"
    assert memory.relabelled("B", "disc", drawn) is memory
