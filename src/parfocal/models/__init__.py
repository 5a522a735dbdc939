"""Networks: a table of names, how one is described, built from a seed, and kept as a folder without pickle."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from parfocal.core.config import Config
from parfocal.core.errors import DataContractError, UsageError
from parfocal.core.registry import Family

if TYPE_CHECKING:
    import torch
    from torch import nn

FAMILY = Family(
    "models",
    {
        "unet": "parfocal.models.unet:RecursiveUNet",
        "residual_unet": "parfocal.models.residual_unet:ResidualUNet",
        "localizer": "parfocal.models.localizer:Localizer",
        "lgan_critic": "parfocal.models.critics:LganCritic",
        "patch_critic": "parfocal.models.critics:PatchCritic",
        "translator": "parfocal.models.translator:Translator",
        "monai": "parfocal.models.monai:MonaiNetwork",
    },
)
WEIGHTS = "weights.safetensors"
MODEL = "model.json"


class ModelSpec(Config):
    """Contents of model.json: a name in the family and the arguments of its constructor."""

    name: str
    parameters: dict[str, Any] = Field(default_factory=dict)


class ModelConfig(Config):
    """Which network, and of what size. `preset` names one of the papers' (`parfocal.models.presets`) to start from."""

    name: str = Field(default="unet", description="member of the family `models`")
    depth: int = Field(default=6, ge=1, description="poolings (D)")
    width: int = Field(default=40, ge=1, description="channels of the first level (W)")
    increment: float = Field(default=1.1, gt=0, description="ratio of the widths of neighbouring levels (IR)")
    batch_norm: bool = Field(default=True, description="normalise after each convolution")
    dropout: float = Field(default=0.3, ge=0, lt=1, description="probability that an element is zeroed")
    dropout_at: Literal["every", "bottom", "none"] = Field(default="every", description="which levels have dropout")
    up: Literal["transpose", "upsample", "bilinear"] = Field(
        default="transpose", description="how the decoder doubles its grid"
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="further constructor arguments, by name, for a network that takes others"
    )

    @model_validator(mode="before")
    @classmethod
    def _from_preset(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or "preset" not in values:
            return values
        from parfocal.models.presets import preset

        try:
            start = preset(str(values["preset"]))
        except UsageError as error:
            raise ValueError(f"{error.what}; expected {error.expected}") from None
        return start.model_dump() | {key: value for key, value in values.items() if key != "preset"}

    def spec(self, *, in_channels: int = 3, out_channels: int = 1) -> ModelSpec:
        """The constructor call this describes; settings that the named network does not take are left out."""
        values = self.model_dump(exclude={"name", "options"}) | {
            "in_channels": in_channels,
            "out_channels": out_channels,
        }
        taken = inspect.signature(FAMILY.load(self.name)).parameters
        return ModelSpec(
            name=self.name, parameters={key: value for key, value in values.items() if key in taken} | self.options
        )


def build(name: str, parameters: Mapping[str, Any], *, seed: int = 0) -> nn.Module:
    """Construct a network whose initial weights are a function of `seed`; global random state is left as it was.

    Raises:
        UsageError: unknown name, or arguments that its constructor does not take.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            model: nn.Module = FAMILY.load(name)(**parameters)
        except TypeError as error:
            raise UsageError(f"the network '{name}' cannot be built: {error}", where="model") from None
    return model


def describer(model: nn.Module) -> Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
    """The call that gives logits and pooled features [N, D] in one pass; D is 0 for a network without `described`."""
    if hasattr(model, "described"):
        described: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]] = getattr(model, "described")  # noqa: B009
        return described
    return lambda x: (model(x), x.new_zeros(x.shape[0], 0))


def probabilities(logits: torch.Tensor) -> torch.Tensor:
    """What a segmentation network says: the sigmoid of one channel, the softmax over several, [N, C, ...] both."""
    return logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(1)


def slices_of(model: nn.Module) -> int:
    """How many neighbouring slices of a volume the network looks at together; 0 for a network of pictures."""
    return int(getattr(model, "slices", 0))


def save(model: nn.Module, spec: ModelSpec, folder: Path) -> None:
    """Write weights.safetensors (float32 and integer buffers, as in the state dict) and model.json into `folder`."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, folder / WEIGHTS)
    (folder / MODEL).write_text(json.dumps(spec.model_dump(mode="json"), indent=1, sort_keys=True) + "\n")


def read_spec(folder: Path) -> ModelSpec:
    """Read model.json.

    Raises:
        DataContractError: it is missing or cannot be read.
    """
    try:
        return ModelSpec.model_validate_json((folder / MODEL).read_text())
    except (OSError, ValueError) as error:
        raise DataContractError(f"the model's description cannot be read: {error}", where=folder / MODEL) from None


def load(folder: Path) -> nn.Module:
    """Build the network of model.json with the weights beside it, on the CPU, in evaluation mode.

    Raises:
        DataContractError: a file is missing, damaged, or does not fit the other.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    spec = read_spec(folder)
    model = build(spec.name, spec.parameters)
    try:
        model.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise DataContractError(
            f"the weights cannot be loaded: {error}", where=folder / WEIGHTS, expected=f"weights of {spec.parameters}"
        ) from None
    return model.eval()
