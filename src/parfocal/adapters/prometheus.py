"""What Prometheus and Alertmanager are told on one machine. On a cluster `manifests/` says the same."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml

from parfocal.core.errors import OutsideServiceError
from parfocal.core.manifest import write_atomic

RULES = ("monitoring", "rules", "parfocal.yaml")
JOBS = {"segmenter": "parfocal-segmenter", "monitor": "parfocal-monitor"}
"""Service to the job's name, by which the rules tell them apart."""
EVERY = "1s"
"""Between scrapes, and between evaluations: one machine and two services, so an alarm may be quick."""


def rule_file() -> Path:
    """The alert rules, which are part of this installation.

    Raises:
        OutsideServiceError: the installation lacks them.
    """
    try:
        found = Path(str(files("parfocal_manifests").joinpath(*RULES)))
    except ModuleNotFoundError:
        found = Path("parfocal_manifests", *RULES)
    if not found.is_file():
        raise OutsideServiceError("the alert rules are not installed", where=found, next="install parfocal again")
    return found


def prometheus_config(
    ports: Mapping[str, int], rules: Path, alertmanager: int | None, token: Path, certificate: Path | None = None
) -> dict[str, Any]:
    """Settings of Prometheus for services on loopback ports.

    Args:
        ports: service to port; those of `JOBS` are scraped.
        rules: the alert rules.
        alertmanager: its port, None without one.
        token: file that holds the bearer token of whoever may read metrics.
        certificate: of the services, where they speak HTTPS: it is believed as it is.
    """
    how: dict[str, Any] = {"authorization": {"type": "Bearer", "credentials_file": str(token)}}
    if certificate is not None:
        how |= {"scheme": "https", "tls_config": {"ca_file": str(certificate.resolve())}}
    config: dict[str, Any] = {
        "global": {"scrape_interval": EVERY, "scrape_timeout": EVERY, "evaluation_interval": EVERY},
        "rule_files": [str(rules)],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [_local(ports[name])]}], **how}
            for name, job in JOBS.items()
            if name in ports
        ],
    }
    if alertmanager is not None:
        config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [_local(alertmanager)]}]}]}
    return config


def alertmanager_config(monitor: str, token: Path, certificate: Path | None = None) -> dict[str, Any]:
    """Settings of Alertmanager: drift alarms go to the monitor at once, all others can be seen on its page.

    Args:
        monitor: address of the monitor.
        token: file that holds the monitor's bearer token.
        certificate: of the monitor, where it speaks HTTPS.
    """
    http: dict[str, Any] = {"authorization": {"type": "Bearer", "credentials_file": str(token)}}
    if certificate is not None:
        http["tls_config"] = {"ca_file": str(certificate.resolve())}
    hook = {"url": f"{monitor}/alerts", "send_resolved": True, "http_config": http}
    drift = {
        "matchers": ["alertname = DriftAlarm"],
        "receiver": "monitor",
        "group_wait": "0s",
        "group_interval": EVERY,
        "repeat_interval": "1m",  # a wake-up that was lost is made good; a repeated one starts nothing
    }
    return {
        "route": {
            "receiver": "page",
            "group_by": ["alertname", "task", "instrument", "stream"],
            "routes": [drift],
        },
        "receivers": [{"name": "page"}, {"name": "monitor", "webhook_configs": [hook]}],
    }


def write(
    folder: Path, ports: Mapping[str, int], monitor: str, token: str, certificate: Path | None = None
) -> tuple[Path, Path]:
    """Write prometheus.yml, alertmanager.yml and the token (mode 600) into `folder`; the paths of the first two."""
    folder.mkdir(parents=True, exist_ok=True)
    secret = _secret(folder / "token", token)
    written = folder / "prometheus.yml", folder / "alertmanager.yml"
    contents = (
        prometheus_config(ports, rule_file(), ports.get("alertmanager"), secret, certificate),
        alertmanager_config(monitor, secret, certificate),
    )
    for file, content in zip(written, contents, strict=True):
        write_atomic(file, yaml.safe_dump(content, sort_keys=False))
    return written


def _secret(file: Path, content: str) -> Path:
    """A file for its owner alone, replaced in one step: Alertmanager reads it at every call."""
    if not file.is_file() or file.read_text() != content:
        temporary = file.with_name(f".{file.name}.{uuid4().hex[:8]}.tmp")
        with os.fdopen(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as stream:
            stream.write(content)
        temporary.replace(file)
    return file


def _local(port: int) -> str:
    return f"127.0.0.1:{port}"
