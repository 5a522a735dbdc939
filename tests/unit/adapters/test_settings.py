"""Addresses come from the environment; with none, all state is in one folder."""

import os
import sys
from pathlib import Path
from subprocess import run

import pytest

from parfocal.adapters import Settings, connect
from parfocal.core.errors import UsageError

PATH = [str(Path(place).resolve()) for place in sys.path if place]
"""Before any test changes the working directory."""


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("PARFOCAL_STATE", "PARFOCAL_DATABASE_URL", "MLFLOW_TRACKING_URI", "PARFOCAL_EXPERIMENT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_with_nothing_set_all_is_under_the_state_folder(tmp_path: Path) -> None:
    settings = Settings()
    state = tmp_path / "parfocal-state"
    assert settings.ledger_url == f"sqlite:///{state}/parfocal.db"
    assert settings.mlflow_uri == f"sqlite:///{state}/mlflow.db"
    assert settings.artifacts == state / "mlflow-artifacts"
    assert settings.experiment == "parfocal"
    assert not state.exists()


def test_a_server_keeps_its_own_artifacts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    monkeypatch.setenv("PARFOCAL_DATABASE_URL", "postgresql+psycopg://parfocal@db/parfocal")
    settings = Settings()
    assert (settings.mlflow_uri, settings.artifacts) == ("http://mlflow:5000", None)
    assert settings.ledger_url.startswith("postgresql")


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    assert Settings().mlflow_uri.startswith("sqlite")


def test_connecting_loads_neither_mlflow_nor_sqlalchemy() -> None:
    code = (
        "import sys; from parfocal.adapters import connect; connect();"
        "sys.exit(' '.join(m for m in ('mlflow', 'sqlalchemy', 'torch', 'kfp') if m in sys.modules) or None)"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(PATH)}
    done = run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=env)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("package", "part"), [("mlflow", "tracker"), ("mlflow", "models"), ("sqlalchemy", "ledger")])
def test_a_platform_that_is_not_installed_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, package: str, part: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=r"parfocal\[platform\]"):
        getattr(connect(), part)
