"""What the tests of alert rules and of the dashboard share: Prometheus' own tools, and what the services show it."""

import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics import MetricWrapperBase

MONITORING = Path(__file__).parents[1] / "manifests" / "monitoring"


def tool(name: str, *words: object) -> "subprocess.CompletedProcess[str]":
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: `make system` installs it (Debian: prometheus, prometheus-alertmanager)")
    return subprocess.run([found, *map(str, words)], capture_output=True, text=True, check=False)


def exposed(folder: Path) -> dict[str, set[str]]:
    """Every sample that the two services show Prometheus, with the labels that it can have."""
    from parfocal_serving.monitor.database import connect
    from parfocal_serving.monitor.metrics import MonitorCollector
    from parfocal_serving.monitor.references import References
    from parfocal_serving.segmenter import metrics

    found: dict[str, set[str]] = {}
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            (family,) = metric.describe()
            suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
            found |= {family.name + suffix: set(metric._labelnames) for suffix in suffixes}
    database = connect(f"sqlite:///{folder / 'monitor.db'}")
    for family in MonitorCollector(database, References(folder), "fundus").collect():
        assert isinstance(family, CounterMetricFamily | GaugeMetricFamily)
        name = family.name + ("_total" if family.type == "counter" else "")
        found[name] = set(family._labelnames) | {label for sample in family.samples for label in sample.labels}
    database.close()
    return found
