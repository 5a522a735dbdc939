"""Write every `component.yaml` and `pipeline.yaml` anew: ``python -m parfocal_pipelines.compile``.

What there is to compile is found by file names: a folder with `component.py` holds a component of the folder's name, a
folder with `pipeline.py` a function `build(placements)`.
"""

import argparse
import sys
import warnings
from importlib import import_module
from pathlib import Path

import parfocal_components
from kfp.compiler import Compiler, KubernetesManifestOptions
from parfocal_pipelines import placement

from parfocal.adapters.kubeflow_spec import Compiled
from parfocal.core.errors import UsageError

COMPONENTS = Path(parfocal_components.__file__).parent
PIPELINES = Path(__file__).parent


def compile_all(
    out: Path | None = None, placements: str = placement.DEFAULT, namespace: str | None = None
) -> list[Path]:
    """Compile into `out`/components and `out`/pipelines, by default beside the sources; return the files written.

    Args:
        namespace: of the objects Pipeline and PipelineVersion that are written into `out`/objects too; None: they are
            not.

    Raises:
        UsageError: there is no such placement, it is not valid, or nobody says where the objects go.
    """
    if namespace is not None and out is None:
        raise UsageError("the objects of Kubernetes are not kept beside the sources", next="say where: --out DIR")
    chosen = placement.load(placements)
    written = []
    for source in sorted(COMPONENTS.glob("*/component.py")):
        name = source.parent.name
        built = getattr(import_module(f"parfocal_components.{name}.component"), name)
        written.append(_write(built, (out / "components" if out else COMPONENTS) / name / "component.yaml"))
    for source in sorted(PIPELINES.glob("*/pipeline.py")):
        name = source.parent.name
        built = import_module(f"parfocal_pipelines.{name}.pipeline").build(chosen)
        file = _write(built, (out / "pipelines" if out else PIPELINES) / name / "pipeline.yaml")
        written.append(file)
        if out is not None and namespace is not None:
            written.append(_write_objects(built, Compiled.read(file), namespace, out / "objects" / f"{name}.yaml"))
    return written


def _write(built, file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Compiler().compile(built, str(file))
    return file


def _write_objects(built, spec: Compiled, namespace: str, file: Path) -> Path:
    """The pipeline as objects for `kubectl apply`; the version has the name under which `submit` looks for it."""
    options = KubernetesManifestOptions(
        pipeline_name=spec.name,
        pipeline_display_name=spec.title,
        pipeline_version_name=spec.version,
        pipeline_version_display_name=spec.version_title,
        namespace=namespace or None,
        include_pipeline_manifest=True,
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    Compiler().compile(built, str(file), kubernetes_manifest_format=True, kubernetes_manifest_options=options)
    return file


def main() -> None:
    """Compile and print the files written, one a line."""
    parser = argparse.ArgumentParser(prog="parfocal_pipelines.compile", description=__doc__)
    parser.add_argument("--out", type=Path, help="folder to write into; default: beside the sources")
    parser.add_argument("--placement", default=placement.DEFAULT, help="gpu, cpu, gke, eks, aks or a YAML file")
    parser.add_argument("--objects", action="store_true", help="also Pipeline and PipelineVersion, in objects/")
    parser.add_argument("--namespace", default="", help="of these objects")
    arguments = parser.parse_args()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            namespace = arguments.namespace if arguments.objects else None
            written = compile_all(arguments.out, arguments.placement, namespace)
    except UsageError as error:
        sys.exit(_complain(error))
    sys.stdout.writelines(f"{file}\n" for file in written)


def _complain(error: UsageError) -> int:
    sys.stderr.write(f"{error}\n")
    return error.exit_code


if __name__ == "__main__":
    main()
