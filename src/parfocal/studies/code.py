"""What a result depends on in the program itself: a digest of syntax, deaf to comments, docstrings and formatting."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import parfocal

ROOT = Path(parfocal.__file__).parent
PREPARING = (
    "core/task.py",
    "core/volumes.py",
    "core/dicom.py",
    "phantoms",
    "readers",
    "preprocessing",
    "steps/preprocess.py",
    "steps/preprocess_look.py",
)
LEARNING = (
    *PREPARING,
    *("augmentation", "models", "objectives", "memory", "training", "strategies"),
    *("evaluation/metrics.py", "evaluation/constant.py"),
    *("steps/learning.py", "steps/lesson.py", "steps/remembering.py"),
    *("studies/frames.py", "studies/learning.py", "studies/fundus.py"),
)


def preparing() -> str:
    """Digest of all that makes data sets."""
    return _digest(PREPARING)


def learning(module: str) -> str:
    """Digest of all that trains and scores, and of a study's own module, such as ``parfocal.studies.instruments``."""
    own = module.removeprefix("parfocal.").replace(".", "/") + ".py"
    return _digest((*LEARNING, own)) if (ROOT / own).is_file() else _digest(LEARNING) + module


def of(*parts: str) -> str:
    """Digest of these files and folders of the program, such as ``drift``."""
    return _digest(parts)


@cache
def _digest(parts: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for file in _files(parts):
        digest.update(f"{file.relative_to(ROOT)}\n{_syntax(file.read_text())}\n".encode())
    return digest.hexdigest()[:16]


def _files(parts: Iterable[str]) -> list[Path]:
    found = [ROOT / part for part in parts]
    return sorted(file for path in found for file in (path.rglob("*.py") if path.is_dir() else [path]))


def _syntax(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            node.body = [one for one in node.body if not _words(one)] or [ast.Pass()]
    return ast.dump(tree)


def _words(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
