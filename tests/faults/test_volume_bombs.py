"""Volume files that claim more than there is, or hide more than they claim: refused before ITK makes room for them."""

import gzip
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import reader_kit

from parfocal.core import intact, volume_size, volumes
from parfocal.core.errors import DataContractError

sitk = pytest.importorskip("SimpleITK")


def written(folder: Path, suffix: str, change: Callable[[bytes], bytes] = lambda data: data) -> Path:
    """A sound volume of 5 x 24 x 32 voxels of 16 bits, then changed; of .nii.gz what is compressed is changed."""
    file = folder / f"v{suffix}"
    folder.mkdir(exist_ok=True)
    sitk.WriteImage(sitk.Cast(sitk.GetImageFromArray(reader_kit.hu(0)), sitk.sitkInt16), str(file), False)
    if suffix == ".nii.gz":
        file.write_bytes(gzip.compress(change(gzip.decompress(file.read_bytes()))))
    else:
        file.write_bytes(change(file.read_bytes()))
    return file


def sides(*lengths: int) -> dict[str, Callable[[bytes], bytes]]:
    """By suffix: how a file is made to claim sides x, y, z."""
    dims = struct.pack("<4h", 3, *lengths)
    text = " ".join(map(str, lengths)).encode()
    return {
        ".nii": lambda data: data[:40] + dims + data[48:],
        ".nii.gz": lambda data: data[:40] + dims + data[48:],
        ".mha": lambda data: data.replace(b"DimSize = 32 24 5", b"DimSize = " + text),
        ".nrrd": lambda data: data.replace(b"sizes: 32 24 5", b"sizes: " + text),
    }


@pytest.mark.parametrize("suffix", volumes.SUFFIXES)
@pytest.mark.parametrize(
    ("lengths", "says"), [((30000, 30000, 30), "54.0 GB of voxels"), ((4000, 4000, 100), "cut short")]
)
def test_a_small_file_that_claims_gigabytes_is_refused_before_itk_reads_it(
    suffix: str, lengths: tuple[int, int, int], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path, suffix, sides(*lengths)[suffix])
    sound = volumes.open_volume(written(tmp_path / "sound", ".nii"))
    monkeypatch.setattr(sitk, "ReadImage", lambda _: pytest.fail("ITK was asked"))
    for ask in (intact.check, volumes.open_volume, lambda path: volumes.open_labels(path, sound)):
        with pytest.raises(DataContractError, match=says) as error:
            ask(file)
        assert (error.value.where, bool(error.value.next)) == (str(file), True)


@pytest.mark.parametrize("suffix", volumes.SUFFIXES)
def test_what_a_sound_file_claims_is_what_it_has(suffix: str, tmp_path: Path) -> None:
    file = written(tmp_path, suffix)
    assert volume_size.claims(file) == 5 * 24 * 32 * 2
    intact.check(file)


def test_what_goes_on_behind_the_voxels_is_not_decompressed_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intact, "BEYOND", 1_000_000)
    intact.check(written(tmp_path, ".nii.gz", lambda data: data + bytes(900_000)))
    with pytest.raises(DataContractError, match="cut short"):
        intact.check(written(tmp_path, ".nii.gz", lambda data: data + bytes(3_000_000)))


def test_a_compressed_mha_holds_what_it_claims_and_no_more(tmp_path: Path) -> None:
    def packed(voxels: bytes) -> Callable[[bytes], bytes]:
        def change(data: bytes) -> bytes:
            head = data.partition(b"ElementDataFile")[0].replace(b"CompressedData = False", b"CompressedData = True")
            return head + b"ElementDataFile = LOCAL\n" + zlib.compress(voxels)

        return change

    wanted = 5 * 24 * 32 * 2
    intact.check(written(tmp_path, ".mha", packed(bytes(wanted))))
    for length in (wanted - 1, wanted + 1, 50_000_000):
        with pytest.raises(DataContractError, match="cut short"):
            intact.check(written(tmp_path, ".mha", packed(bytes(length))))
