"""`parfocal doctor`: whether this machine and its settings will do, and what to do where they will not."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from parfocal.adapters.checks import Check

MARKS = {"ok": ("ok  ", "green"), "warn": ("warn", "yellow"), "fail": ("fail", "red")}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
@click.option(
    "--cluster", is_flag=True, help="Look at a Kubernetes cluster instead, that of kubeconfig or of this pod."
)
@click.option("--namespace", default="parfocal", show_default=True, help="With --cluster: where it is or will be.")
@click.option("--context", default="", help="With --cluster: of kubeconfig; default: the current one.")
def doctor(as_json: bool, cluster: bool, namespace: str, context: str) -> None:
    """Look whether this machine and its settings will do.

    Python and packages, processor and graphics card, disk, what is optional, the state folder (PARFOCAL_STATE), the
    registry (MLFLOW_TRACKING_URI) and the database (PARFOCAL_DATABASE_URL), whether the datasets, experiences and cases
    that ledger and monitor name are here, and whether the champion draws the same masks on this processor as its
    weights do. A line with "warn" costs speed or a feature, one with "fail" has to be mended; each says what to do.
    Nothing is changed.

    With --cluster: version and namespace, every permission that installing takes, what the account that starts runs may
    and may not do, the APIs of Prometheus' operator and Kubeflow, storage that nodes can share, GPUs with their labels
    and taints, Kubeflow Pipelines (PARFOCAL_KFP_HOST) and the secrets' keys, whose values are not shown.

    Exit codes: 0 nothing failed, 1 something did, 6 an outside service could not be reached.
    """
    found = []
    for check in _cluster(namespace, context) if cluster else _machine():
        found.append(check)
        if not as_json:
            mark, colour = MARKS[check.level]
            click.echo(f"{click.style(mark, fg=colour)}  {check.name:<12} {check.says}")
            if check.next:
                click.echo(f"      {'':<12} -> {check.next}")
    failed = [check for check in found if check.level == "fail"]
    if as_json:
        rows = [{"name": c.name, "level": c.level, "says": c.says, "next": c.next} for c in found]
        click.echo(json.dumps({"well": not failed, "checks": rows}, indent=1))
    if failed:
        sys.exit(6 if all(check.outside for check in failed) else 1)


def _machine() -> Iterator[Check]:
    from parfocal.adapters import Settings
    from parfocal.adapters.checks import every

    return every(Settings())


def _cluster(namespace: str, context: str) -> Iterator[Check]:
    from parfocal.adapters.cluster_doctor import Cluster, connect, every
    from parfocal.adapters.kubeflow_remote import KubeflowSettings

    return every(Cluster(connect(context), namespace, KubeflowSettings()))
