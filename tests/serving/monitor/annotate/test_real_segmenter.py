"""With the segmenter itself: its masks help, its clicks answer in time, and it keeps nothing of what is labelled."""

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import serving_kit
import uvicorn
from annotate_kit import World, accept, ask, take
from monitor_kit import promote
from parfocal_serving.segmenter import web
from parfocal_serving.segmenter.settings import SegmenterSettings
from parfocal_serving.segmenter.worker import Worker

from parfocal import models
from parfocal.core import manifest
from parfocal.core.bundle import BUNDLE, Bundle, Clicked, Exported, StructureModel
from parfocal.inference.runtimes.openvino import OpenVINORuntime, export
from parfocal.preprocessing.fundus import FundusRecipe


def clickable(folder: Path) -> Path:
    """A sealed bundle with one tiny network of random weights that answers clicks on the disc."""
    import torch

    spec = models.ModelConfig(depth=2, width=4, increment=1.1).spec(in_channels=6)
    exported = {"openvino": Exported(file=OpenVINORuntime.file, agreement=1.0)}
    disc = StructureModel(folder="disc", runtimes=exported, objective="interact", clicks=Clicked())
    recipe = FundusRecipe(size=64).model_dump()
    made = Bundle(task="fundus", structures={"disc": disc}, recipe=recipe, instruments=("A",), datasets=())
    with manifest.new_folder(folder, "bundle", seed=0) as scratch:
        (scratch / "disc").mkdir()
        network = models.build(spec.name, spec.parameters, seed=0)
        noise = torch.from_numpy(np.random.default_rng(0).random((4, 6, 64, 64), np.float32))
        with torch.no_grad():
            network.eval().head.bias -= network(noise).median()
        models.save(network, spec, scratch / "disc")
        export(network, scratch / "disc", 64, channels=6)
        (scratch / BUNDLE).write_text(made.model_dump_json())
    return folder


@pytest.fixture
def service(tmp_path: Path) -> Iterator[SimpleNamespace]:
    state = tmp_path / "segmenter"
    serving_kit.promote(state, serving_kit.bundle(tmp_path / "champion"), "7")
    clicks = clickable(tmp_path / "clicks")
    worker = web.Running.worker = Worker(
        SegmenterSettings(state=state, clicks_model=str(clicks), threads=2, capture=1.0)
    )
    worker.start()
    port = serving_kit.free_port()
    server = uvicorn.Server(uvicorn.Config(web.app, host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    serving_kit.wait_for(lambda: server.started, 20)
    yield SimpleNamespace(url=f"http://127.0.0.1:{port}", worker=worker, state=state)
    server.should_exit = True
    thread.join(10)
    worker.stop()


def test_a_case_is_labelled_with_the_segmenters_help_and_it_keeps_nothing(
    service: SimpleNamespace, tmp_path: Path
) -> None:
    world = World(tmp_path / "state", "", service.url)
    promote(world.state)
    with world.monitor() as monitor:
        world.capture(monitor, 30)
        queue = monitor.get("/api/annotate/queue").json()
        assert queue["clicks"] is True
        given = next(one for one in (take(monitor, f"a{n}") for n in range(9)) if one and one["purpose"] == "train")
        proposal = ask(monitor, given, "GET", "proposal").json()
        assert set(proposal["structures"]) == {"disc", "cup"}
        clicks = [{"row": 20, "column": 24, "object": True}]
        ask(monitor, given, "POST", "refine", {"structure": "disc", "clicks": clicks}).raise_for_status()
        previous = proposal["structures"]["disc"]["rle"]
        answers = [
            ask(monitor, given, "POST", "refine", {"structure": "disc", "clicks": clicks, "previous": previous}).json()
            for _ in range(10)
        ]
        assert sorted(one["ms"] for one in answers)[2] < 100, "milliseconds; the others may meet a busy machine"
        assert answers[0]["rle"]["size"] == [given["height"], given["width"]]
        masks = {"disc": {"size": [48, 48], "counts": [100, 500, 48 * 48 - 600]}}
        accept(monitor, given, masks=masks).raise_for_status()
    assert service.worker.outbox.slot.pending == 0, "no observation: it is no patient's request"
    assert not (service.state / "captured").exists()
