import subprocess
import sys

import pytest
import torch
from torch import nn

from parfocal.core.errors import UsageError
from parfocal.models import monai as adapter
from parfocal.models.monai import MonaiNetwork

SMALL = {"channels": [4, 8], "strides": [2]}


@pytest.fixture(autouse=True)
def _there() -> None:
    pytest.importorskip("monai")


def test_an_unknown_name_suggests_the_nearest_and_capitals_do_not_matter() -> None:
    with pytest.raises(UsageError, match="no network 'SegRestNet'") as error:
        MonaiNetwork("SegRestNet")
    assert "did you mean 'SegResNet'?" in error.value.next
    assert type(MonaiNetwork("attentionunet", SMALL).network).__name__ == "AttentionUnet"


def test_arguments_that_monai_refuses_are_named() -> None:
    with pytest.raises(UsageError, match=r"cannot build UNet: .*chanels") as error:
        MonaiNetwork("UNet", {"chanels": [4, 8]})
    assert "channels" in error.value.expected


def test_without_monai_the_way_to_get_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError(f"No module named '{name}'")

    monkeypatch.setattr(adapter, "import_module", absent)
    with pytest.raises(UsageError, match="not there") as error:
        MonaiNetwork("UNet")
    assert error.value.next == "pip install 'parfocal[monai]'"


def test_a_v_net_gets_zeros_up_to_the_next_divisor_of_sixteen() -> None:
    with torch.device("meta"):
        found = {channels: MonaiNetwork("VNet", in_channels=channels).padding for channels in (1, 3, 4, 6, 7)}
    assert found == {1: 0, 3: 1, 4: 0, 6: 2, 7: 1}


def test_a_two_dimensional_v_net_drops_channels_never_a_whole_picture() -> None:
    """MONAI 1.6.1 passes `dropout_dim` to no layer: each has Dropout3d, which takes a batch for one volume."""
    with torch.device("meta"):
        flat, deep = MonaiNetwork("VNet"), MonaiNetwork("VNet", dimensions=3)
    kinds = [
        {type(m) for m in model.modules() if isinstance(m, nn.modules.dropout._DropoutNd)} for model in (flat, deep)
    ]
    assert nn.Dropout3d not in kinds[0]
    assert nn.Dropout2d not in kinds[1]


@pytest.mark.parametrize("network", ["BasicUNetPlusPlus", "SegResNetDS"])
def test_of_several_outputs_the_finest_is_the_answer(network: str) -> None:
    options = {"features": [4, 4, 8, 8, 8, 4]} if network == "BasicUNetPlusPlus" else {"dsdepth": 2, "init_filters": 8}
    model = MonaiNetwork(network, {**options}).train()
    seen: list[object] = []
    model.network.register_forward_hook(lambda *call: seen.append(call[-1]))
    logits = model(torch.rand(2, 3, 32, 32))
    outputs = seen[0]
    assert isinstance(outputs, list)
    assert logits is outputs[-1 if network == "BasicUNetPlusPlus" else 0]


def test_a_network_of_unknown_strides_is_refused_where_the_size_changes() -> None:
    with pytest.raises(UsageError, match=r"AutoEncoder cannot take an image of 18 x 18") as error:
        MonaiNetwork("AutoEncoder", {"channels": [4, 8], "strides": [2, 2]})(torch.rand(1, 3, 18, 18))
    assert "20 x 20" in error.value.expected


def test_a_volume_is_no_picture() -> None:
    with pytest.raises(UsageError, match="8 x 8 x 8"):
        MonaiNetwork("UNet", SMALL)(torch.rand(1, 3, 8, 8, 8))


def test_importing_the_adapter_does_not_import_monai() -> None:
    program = "import sys, parfocal.models.monai; sys.exit('monai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
