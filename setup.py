"""The wheel carries the library and, under names of their own, the four top folders that are built on it.

`components/`, `pipelines/`, `serving/` and `manifests/` become `parfocal_components`, `parfocal_pipelines`,
`parfocal_serving` and `parfocal_manifests` (alert rules, which a local Prometheus reads too). Their packages are found,
not listed, so that a new one is one folder and no second edit.
"""

from pathlib import Path

from setuptools import find_packages, setup

TOP = {name: f"parfocal_{name}" for name in ("components", "pipelines", "serving", "manifests")}

packages = find_packages("src")
package_dir = {"": "src"}
for folder, name in TOP.items():
    if not Path(folder, "__init__.py").is_file():
        continue
    packages += [name, *(f"{name}.{inner}" for inner in find_packages(folder))]
    package_dir[name] = folder

setup(
    packages=packages,
    package_dir=package_dir,
    package_data={
        "": ["*.yaml", "*.md", "*.j2", "*.html", "py.typed", "OWNERS"],
        "parfocal_manifests": ["**/*.yaml", "**/*.json", "overlays/**/*.py"],
        "parfocal_serving.monitor.ui": ["annotate/*"],
        "parfocal_serving.security.ui": ["static/*"],
    },
)
