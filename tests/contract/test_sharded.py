"""Preprocessing in parts: whatever their number, the dataset is the one that a single pod writes."""

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from data_kit import Notes, champion, circle, config, dataset, patients, picture, source, write

from parfocal.cli import steps
from parfocal.core import manifest
from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.types import Case
from parfocal.preprocessing import sharding
from parfocal.preprocessing.sharding import Shard
from parfocal.preprocessing.shards import read_dataset
from parfocal.steps import gather, plan_shards, preprocess_shard, sharded
from parfocal.steps.config import RunConfig

DROP = ("data.on_invalid=drop", "static_augmentation.copies=2")


def looked(photos: Path, out: Path, settings: RunConfig, of: int, known: Path | None = None) -> list[Path]:
    """Folders of all shards."""
    folders = []
    for shard in plan_shards.run(of, settings):
        folders.append(out / shard.replace("/", "-"))
        preprocess_shard.run(photos, folders[-1], settings, shard=shard, champion=known, reporter=Notes())
    return folders


def gathered(shards: list[Path], out: Path, settings: RunConfig, known: Path | None = None) -> manifest.Manifest:
    return gather.run(shards, out, settings, champion=known, reporter=Notes())


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """14 patients, four with a second image; an unlabelled one, a point, assisted labels, damage, and a double."""
    place = source(tmp_path_factory.mktemp("sharded") / "photos", patients(14))
    source(place, [f"p{i:02d}b" for i in range(4)], seed=9)
    write(place / "unlabelled" / "bare.png", picture(777))
    write(place / "images" / "pointed.png", picture(778))
    source(place, ["helped"], seed=8)
    (place / "cup" / "p03.png").unlink()
    (place / "images" / "double.png").write_bytes((place / "images" / "p05.png").read_bytes())
    write(place / "disc" / "double.png", circle(12))
    write(place / "disc" / "p07.png", np.zeros((60, 80), np.uint8))
    write(place / "disc" / "alone.png", circle(12))
    names = [*patients(14), *(f"p{i:02d}b" for i in range(4))]
    rows = [f"{name},{name[:3]},,,,rater-{i % 2}" for i, name in enumerate(names)]
    rows += ["pointed,pointed,30,20,,", "helped,p02,,,yes,", "double,double,,,,", "bare,p01,,,,"]
    (place / "cases.csv").write_text("\n".join(["name,patient,disc_x,disc_y,assisted,grader", *rows]) + "\n")
    return place


@pytest.fixture(scope="module")
def whole(photos: Path) -> Path:
    dataset(photos, photos.parent / "whole", *DROP)
    return photos.parent / "whole"


@pytest.mark.parametrize("of", [1, 2, 4, 18])
def test_whatever_the_number_of_shards_the_dataset_is_the_same_to_the_byte(
    of: int, photos: Path, whole: Path, tmp_path: Path
) -> None:
    settings = config(*DROP)
    shards = looked(photos, tmp_path, settings, of)
    random.Random(of).shuffle(shards)
    made = gathered(shards, tmp_path / "all", settings)
    expected = manifest.read(whole)
    assert read_dataset(whole).rejected, "or the test says less than it seems"
    assert made.files == expected.files
    assert (made.checksum, made.seed, made.config, made.parents) == (
        expected.checksum, expected.seed, expected.config, expected.parents,
    )  # fmt: skip
    manifest.verify(tmp_path / "all", "dataset")


def test_with_a_champion_patients_keep_their_side_and_what_it_knows_is_left_out_all_the_same(
    whole: Path, photos: Path, tmp_path: Path
) -> None:
    known = champion(tmp_path / "champion", whole)
    more = shutil.copytree(photos, tmp_path / "more")
    source(more, patients(5, "q"), seed=3)
    table = (more / "cases.csv").read_text()
    (more / "cases.csv").write_text(table + "".join(f"{name},p1{i},,,,\n" for i, name in enumerate(patients(5, "q"))))
    settings = config(*DROP)
    expected = dataset(more, tmp_path / "one", *DROP, champion=known)
    made = gathered(looked(more, tmp_path, settings, 3, known), tmp_path / "all", settings, known)
    assert (made.files, made.parents) == (expected.files, expected.parents)
    assert any("the champion knows this case" in one.reason for one in read_dataset(tmp_path / "all").rejected)


def test_the_command_line_makes_parts_and_one_of_them(photos: Path, whole: Path, tmp_path: Path) -> None:
    common = ["--instrument", "A", "--quiet", "--set", "recipe.size=32", *(f"--set={said}" for said in DROP)]
    for number in (1, 2):
        words = [str(photos), "--shard", f"{number}/2", "--out", str(tmp_path / f"{number}"), *common]
        done = CliRunner().invoke(steps.preprocess, words, catch_exceptions=False)
        assert done.output == f"shard {number}/2 written to {tmp_path / str(number)}\n"
    words = [str(tmp_path / "1"), str(tmp_path / "2"), "--out", str(tmp_path / "all"), *common, "--json"]
    done = CliRunner().invoke(steps.gather, words, catch_exceptions=False)
    assert json.loads(done.output)["checksum"] == manifest.read(whole).checksum


def test_one_bad_file_is_refused_with_the_very_words_of_a_single_pod(photos: Path, tmp_path: Path) -> None:
    settings = config()
    shards = looked(photos, tmp_path, settings, 2)
    with pytest.raises(DataContractError) as one:
        dataset(photos, tmp_path / "one")
    with pytest.raises(DataContractError) as several:
        gathered(shards, tmp_path / "all", settings)
    said = [one.value.what, several.value.what]
    assert said[0] == said[1]
    assert "double.png" in said[0]
    assert not (tmp_path / "all").exists()


def test_patients_are_whole_and_the_parts_even_in_whatever_order_the_cases_come() -> None:
    counts = {f"p{i}": 1 + i % 5 for i in range(40)}
    cases = [
        Case(f"{name}-{i}", "fundus", "A", name, Path("x"), {}, "-") for name, n in counts.items() for i in range(n)
    ]
    parts = [sharding.patients(cases, Shard(number, 4)) for number in range(1, 5)]
    assert sorted(name for part in parts for name in part) == sorted(counts)
    assert {sum(counts[name] for name in part) for part in parts} == {30}
    random.Random(0).shuffle(cases)
    assert parts == [sharding.patients(cases, Shard(number, 4)) for number in range(1, 5)]


@pytest.mark.parametrize("text", ["", "0/2", "3/2", "2", "1/0", "a/b", "1/2/3"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no shard"):
        Shard.parse(text)
    assert str(Shard.parse("2/8")) == "2/8"


@pytest.mark.parametrize("count", [0, 1001])
def test_a_plan_is_of_one_part_or_more(count: int) -> None:
    assert plan_shards.run(2, config()) == ["1/2", "2/2"]
    with pytest.raises(UsageError, match=f"{count} shards"):
        plan_shards.run(count, config())


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    place = tmp_path_factory.mktemp("two")
    photos = source(place / "photos", patients(8))
    return photos, *looked(photos, place, config(), 2)


class TestShardsThatDoNotFit:
    def refused(self, shards: list[Path], tmp_path: Path, match: str) -> None:
        with pytest.raises(DataContractError, match=match):
            gathered(shards, tmp_path / "all", config())
        assert not list(tmp_path.glob("all*"))

    def test_one_is_missing_or_there_twice(self, two: tuple[Path, Path, Path], tmp_path: Path) -> None:
        self.refused([two[2]], tmp_path, r"1 of 2 shards are missing: 1/2")
        again = shutil.copytree(two[1], tmp_path / "again")
        self.refused([two[1], again, two[2]], tmp_path, "shard 1/2 is there twice")

    def test_one_is_of_other_settings(self, two: tuple[Path, Path, Path], tmp_path: Path) -> None:
        other = looked(two[0], tmp_path / "other", config("seed=4"), 2)
        self.refused([two[1], other[1]], tmp_path, "shard 2/2 was made with another settings")

    def test_one_is_of_another_number_of_parts(self, two: tuple[Path, Path, Path], tmp_path: Path) -> None:
        other = looked(two[0], tmp_path / "other", config(), 3)
        self.refused([two[1], other[1]], tmp_path, "another number of shards")

    def test_the_source_grew_between_them(self, two: tuple[Path, Path, Path], tmp_path: Path) -> None:
        grown = source(shutil.copytree(two[0], tmp_path / "grown"), ["late"], seed=5)
        other = looked(grown, tmp_path / "other", config(), 2)
        self.refused([two[1], other[1]], tmp_path, "another state of the source")

    def test_a_patient_is_in_two(self, two: tuple[Path, Path, Path], tmp_path: Path) -> None:
        read = sharded.read(two[1])
        theirs = sharded.read(two[2]).patients[0]
        with manifest.new_folder(tmp_path / "edited", sharded.KIND) as scratch:
            shutil.copytree(two[1], scratch, dirs_exist_ok=True, ignore=shutil.ignore_patterns(manifest.MANIFEST))
            changed = read.model_copy(update={"patients": (*read.patients, theirs)})
            (scratch / sharded.FILE).write_text(changed.model_dump_json())
        self.refused([tmp_path / "edited", two[2]], tmp_path, f"patient {theirs} is in two shards: edited and 2-2")

    def test_a_file_of_one_has_changed(self, two: tuple[Path, Path, Path], tmp_path: Path) -> None:
        torn = shutil.copytree(two[1], tmp_path / "torn")
        (torn / sharded.FILE).write_text(json.dumps({}))
        self.refused([torn, two[2]], tmp_path, "has changed since it was sealed")


def test_a_shard_that_fails_leaves_nothing_and_is_run_again_alone(
    photos: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config(*DROP)
    first = preprocess_shard.run(photos, tmp_path / "1", settings, shard="1/2", champion=None, reporter=Notes())
    with monkeypatch.context() as broken:
        broken.setattr(sharded, "write", lambda *_: (_ for _ in ()).throw(OSError("the disk is full")))
        with pytest.raises(OSError, match="full"):
            preprocess_shard.run(photos, tmp_path / "2", settings, shard="2/2", champion=None, reporter=Notes())
    assert [one.name for one in tmp_path.iterdir()] == ["1"]
    preprocess_shard.run(photos, tmp_path / "2", settings, shard="2/2", champion=None, reporter=Notes())
    assert manifest.verify(tmp_path / "1", sharded.KIND).created == first.created
    made = gathered([tmp_path / "1", tmp_path / "2"], tmp_path / "all", settings)
    assert made.checksum == manifest.read(whole).checksum
