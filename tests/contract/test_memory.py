"""Exemplars are patients' images: an artifact of their own, that no registry takes."""

from pathlib import Path

import pytest
from promotion_kit import MemoryStore

from parfocal.adapters.mlflow_models import MlflowModelStore
from parfocal.core.errors import ParfocalError
from parfocal.core.protocols import ModelStore
from parfocal.memory.buffer import Memory


@pytest.mark.parametrize("name", ["mlflow", "memory"])
def test_a_memory_is_never_registered(name: str, tmp_path: Path) -> None:
    registry = tmp_path / "mlflow.db"
    store: ModelStore = MlflowModelStore(f"sqlite:///{registry}", "x") if name == "mlflow" else MemoryStore()
    Memory().write(tmp_path / "exemplars")
    with pytest.raises(ParfocalError, match="bundle"):
        store.register(tmp_path / "exemplars", "fundus")
    assert not registry.exists(), "refused before the registry is asked"
