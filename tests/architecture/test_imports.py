"""What the house promises about imports, beyond the contracts that `lint-imports` checks."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLATFORM = ("kfp", "mlflow", "bentoml", "prometheus_client", "kubernetes", "sqlalchemy", "fastapi")
NO_TORCH = ("core", "promotion", "evaluation", "preprocessing", "readers", "phantoms", "augmentation", "client")


def loaded_after(statement: str, names: tuple[str, ...], *prelude: str) -> list[str]:
    """Which of `names` a fresh interpreter has imported after running `statement`."""
    program = "\n".join([*prelude, statement, "import sys", f"print([n for n in {names!r} if n in sys.modules])"])
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    found: list[str] = eval(done.stdout.splitlines()[-1])
    return found


def modules(*layers: str) -> list[str]:
    source = ROOT / "src" / "parfocal"
    files = [file for layer in layers for file in sorted((source / layer).rglob("*.py"))]
    return [".".join(file.relative_to(source.parent).with_suffix("").parts).removesuffix(".__init__") for file in files]


def test_the_import_contracts_hold() -> None:
    tool = Path(sys.executable).with_name("lint-imports")
    if not tool.exists():
        pytest.skip("lint-imports is missing: pip install import-linter")
    done = subprocess.run([tool, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_importing_parfocal_and_its_command_line_loads_nothing_heavy() -> None:
    heavy = ("torch", "mlflow", "kfp", "openvino", "cv2", "numpy", "matplotlib", "scipy")
    assert loaded_after("import parfocal, parfocal.cli", heavy) == []


def test_where_decisions_are_made_torch_is_never_loaded_not_even_through_another_module() -> None:
    statement = "\n".join(f"import {name}" for name in modules(*NO_TORCH))
    assert loaded_after(statement, ("torch", "lightning_fabric", "mlflow", "kfp")) == []


BLOCK = textwrap.dedent(f"""
    import sys
    class Absent:
        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] in {PLATFORM!r}:
                raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
    sys.meta_path.insert(0, Absent())
""")


def test_the_library_imports_with_no_platform_package_installed() -> None:
    everything = [name for name in modules(".") if ".adapters" not in name and not name.endswith("__main__")]
    assert loaded_after("\n".join(f"import {name}" for name in everything), PLATFORM, BLOCK) == []


def test_the_block_that_stands_for_a_missing_package_does_block() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BLOCK + "\nimport mlflow"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "No module named 'mlflow'" in done.stderr


@pytest.mark.parametrize("layer", NO_TORCH)
def test_the_layers_that_must_not_know_torch_exist(layer: str) -> None:
    assert modules(layer), f"layer {layer} is named in a law but has no module"
