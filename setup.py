"""The wheel carries the library and, under names of their own, the three top folders that are built on it.

`components/`, `pipelines/` and `serving/` become `parfocal_components`, `parfocal_pipelines` and
`parfocal_serving`. Their packages are found, not listed, so that a new one is one folder and no second edit.
"""

from pathlib import Path

from setuptools import find_packages, setup

TOP = {"components": "parfocal_components", "pipelines": "parfocal_pipelines", "serving": "parfocal_serving"}

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
    package_data={"": ["*.yaml", "*.md", "*.j2", "py.typed", "OWNERS"]},
)
