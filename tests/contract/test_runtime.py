"""What every runtime promises (`parfocal.inference.runtimes.Runtime`); being in the table covers a new member."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from parfocal import models
from parfocal.core.errors import DataContractError
from parfocal.inference.runtimes import FAMILY, NATIVE, Runtime
from parfocal.models import ModelConfig

SIZE = 32


def member(name: str) -> type[Runtime]:
    """A runtime of the table; its tests are skipped where its package, of an extra, is not installed."""
    if name == "onnxruntime":
        pytest.importorskip("onnxruntime")
    made: type[Runtime] = FAMILY.load(name)
    return made


def write(model: nn.Module, folder: Path, name: str) -> None:
    """What the runtime loads, in its fastest precision; the weights are there already."""
    if name != NATIVE:
        made = member(name)
        made.export(model, folder, SIZE, made.precisions[0])


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A structure's folder with the trained weights, to which exports are added."""
    made = tmp_path_factory.mktemp("disc")
    spec = ModelConfig(depth=2, width=8).spec()
    model = models.build(spec.name, spec.parameters)
    models.save(model, spec, made)
    return made


@pytest.fixture(scope="module", params=list(FAMILY))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def folder(name: str, weights: Path) -> Path:
    """The structure's folder with what this runtime loads."""
    write(models.load(weights), weights, name)
    return weights


@pytest.fixture(scope="module")
def runtime(name: str, folder: Path) -> Runtime:
    return member(name)(folder)


def pictures(count: int) -> np.ndarray:
    return np.random.default_rng(count).random((count, 3, SIZE, SIZE), np.float32)


@pytest.mark.parametrize("count", [1, 3])
def test_it_gives_one_probability_a_pixel_for_any_number_of_pictures(runtime: Runtime, count: int) -> None:
    found = runtime(pictures(count))
    assert (found.shape, found.dtype) == ((count, 1, SIZE, SIZE), np.float32)
    assert found.min() >= 0
    assert found.max() <= 1
    assert found.std() > 0


def test_the_probabilities_are_those_of_the_trained_weights(runtime: Runtime, folder: Path) -> None:
    import torch

    batch = pictures(2)
    with torch.inference_mode():
        true = torch.sigmoid(models.load(folder)(torch.from_numpy(batch))).numpy()
    # Half precision keeps 8 bits of every activation.
    np.testing.assert_allclose(runtime(batch), true, atol=0.02)


def test_the_same_picture_has_the_same_probabilities_in_every_call_batch_and_thread(runtime: Runtime) -> None:
    batch = pictures(3)
    together = runtime(batch)
    np.testing.assert_array_equal(runtime(batch), together)
    with ThreadPoolExecutor(3) as threads:
        alone = list(threads.map(runtime, [batch[i : i + 1] for i in range(3)]))
    np.testing.assert_array_equal(np.concatenate(alone), together)


def test_a_result_stays_as_it_is_when_the_next_one_is_made(runtime: Runtime) -> None:
    batch = pictures(2)
    first = runtime(batch[:1])
    kept = first.copy()
    runtime(batch[1:])
    np.testing.assert_array_equal(first, kept)


def test_the_input_is_left_as_it_was(runtime: Runtime) -> None:
    batch = pictures(1)
    before = batch.copy()
    runtime(batch)
    np.testing.assert_array_equal(batch, before)


@pytest.mark.parametrize("content", [None, b"", b"not a network"])
def test_a_missing_or_damaged_file_is_named(name: str, content: bytes | None, tmp_path: Path, folder: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    damaged = tmp_path / member(name).file
    damaged.unlink()
    if content is not None:
        damaged.write_bytes(content)
    with pytest.raises(DataContractError, match=member(name).file):
        member(name)(tmp_path)


def test_features_come_from_the_same_pass_and_are_the_same_in_every_runtime(runtime: Runtime, folder: Path) -> None:
    import torch

    batch = pictures(2)
    probabilities, features = runtime.described(batch)
    np.testing.assert_array_equal(probabilities, runtime(batch))
    with torch.inference_mode():
        levels = models.load(folder).levels(torch.from_numpy(batch))
    true = np.concatenate([level.mean((2, 3)).numpy() for level in levels], 1)
    assert features.shape == true.shape
    # Half precision keeps 8 bits of every activation, and a mean averages their errors out.
    np.testing.assert_allclose(features, true, atol=0.01 * np.abs(true).max())


@pytest.mark.parametrize("name", [name for name in FAMILY if name != NATIVE])
def test_an_export_without_features_says_so(name: str, tmp_path: Path) -> None:
    write(nn.Conv2d(3, 1, 1), tmp_path, name)
    probabilities, features = member(name)(tmp_path).described(pictures(2))
    assert probabilities.shape == (2, 1, SIZE, SIZE)
    assert features.shape == (2, 0)


@pytest.mark.parametrize("name", [name for name in FAMILY if name != NATIVE])
def test_a_network_of_stacks_answers_for_every_slice_as_the_weights_do(name: str, tmp_path: Path) -> None:
    import torch

    model = nn.Conv3d(3, 1, 3, padding=1)
    model.slices = 4
    write(model, tmp_path, name)
    stack = np.random.default_rng(0).random((1, 3, 4, SIZE, SIZE), np.float32)
    with torch.inference_mode():
        true = model(torch.from_numpy(stack)).sigmoid().numpy()
    np.testing.assert_allclose(member(name)(tmp_path)(stack), true, atol=0.02)
