"""A retrain that is killed at any moment ends, when it is started again, with the bytes of one that was not."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import learning_kit
import pytest

from parfocal.core import manifest

PROGRAM = textwrap.dedent("""
    import json, sys, time
    from pathlib import Path
    sys.path.insert(0, {kits!r})
    import torch
    torch.set_num_threads(1)
    import data_kit, learning_kit
    from parfocal.core.reporting import JsonLines

    class Held(JsonLines):
        "Says what it says, and after the moment at which it is to be killed nothing more."
        def _write(self, values):
            super()._write(values)
            while {moment!r} and {moment!r} in json.dumps(values):
                time.sleep(1)

    data_kit.Notes = lambda: Held(sys.stdout)
    learning_kit.challenge(Path({folder!r}), Path({out!r}), "retrain.train.checkpoint_every=2",
                           "retrain.train.validate_every=2", key={key!r})
""")


def start(folder: Path, out: Path, key: str, moment: str = "") -> "subprocess.Popen[str]":
    kits = str(Path(__file__).parents[1])
    program = PROGRAM.format(kits=kits, folder=str(folder), out=str(out), key=key, moment=moment)
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)


def wait_for(child: "subprocess.Popen[str]", text: str) -> None:
    assert child.stdout is not None
    for line in child.stdout:
        if text in line:
            return
    pytest.fail(f"the child ended ({child.wait()}) without printing {text}")


@pytest.mark.parametrize("moment", ['"stage": "disc", "step": 6', '"stage": "cup", "step": 4'])
def test_a_killed_retrain_resumes_to_the_same_bytes(tmp_path: Path, moment: str) -> None:
    learning_kit.second(tmp_path)
    whole = start(tmp_path, tmp_path / "whole", "whole")
    assert whole.communicate()[0] is not None
    assert whole.returncode == 0

    killed = start(tmp_path, tmp_path / "killed", "killed", moment)
    wait_for(killed, moment)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert killed.stdout is not None
    killed.stdout.close()
    assert not (tmp_path / "killed").exists()

    again = start(tmp_path, tmp_path / "killed", "killed")
    assert "goes on from step" in again.communicate()[0]
    assert again.returncode == 0
    for structure in ("disc", "cup"):
        name = f"{structure}/weights.safetensors"
        assert manifest.verify(tmp_path / "killed").files[name] == manifest.verify(tmp_path / "whole").files[name]
    assert manifest.read(tmp_path / "killed-memory").files == manifest.read(tmp_path / "whole-memory").files
