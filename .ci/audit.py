"""Known vulnerabilities in the pinned packages: `make audit`.

Exit codes: 0 none but accepted ones, 1 found (or an acceptance has run out), 6 the advisories cannot be had from here.
That they can is seen by a package that is known to be vulnerable: without it an index that answers nothing would look
like a clean bill of health.
"""

# ruff: noqa: T201
from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
PINS, ACCEPTED = HERE.parent / "constraints.txt", HERE / "accepted-vulnerabilities.yaml"
CANARY = "jinja2==2.4.1"
"""Has had advisories since 2014."""
SERVICES = ("pypi", "osv")
SECONDS = {"canary": 60, "pins": 600}
AWAY = 6


def ask(service: str, file: Path, seconds: float) -> list[dict[str, Any]] | None:
    """What pip-audit says of each package of a requirements file; None when it could not say anything."""
    words = [sys.executable, "-m", "pip_audit", "-s", service, "-f", "json", "--progress-spinner", "off"]
    words += ["--disable-pip", "--no-deps", "-r", str(file)]
    try:
        ended = subprocess.run(words, capture_output=True, text=True, timeout=seconds, check=False)  # noqa: S603
        found: list[dict[str, Any]] = json.loads(ended.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        return None
    return found


def service_that_answers() -> str | None:
    """The first that knows of the canary's vulnerabilities."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "canary.txt")
        file.write_text(CANARY + "\n")
        for service in SERVICES:
            if any(found(ask(service, file, SECONDS["canary"]) or ())):
                return service
    return None


def found(packages: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """(package and version, id, vulnerability)."""
    for package in packages:
        for vulnerability in package.get("vulns", ()):
            yield f"{package['name']} {package['version']}", vulnerability["id"], vulnerability


def judge(packages: Sequence[Mapping[str, Any]], accepted: Sequence[Mapping[str, Any]], today: date) -> list[str]:
    """What is wrong, one line each."""
    reasons = {str(row["id"]): row for row in accepted}
    wrong = [
        f"accepted until {row['until']}: {row['id']} of {row['package']} has to be looked at again"
        for row in accepted
        if row["until"] < today
    ]
    for package, id_, vulnerability in found(packages):
        if not {id_, *vulnerability.get("aliases", ())} & set(reasons):
            fixed = ", ".join(vulnerability.get("fix_versions", ())) or "no version"
            wrong.append(f"{package}: {id_}, fixed in {fixed}")
    return wrong


def main() -> int:
    service = service_that_answers()
    packages = ask(service, PINS, SECONDS["pins"]) if service else None
    if packages is None:
        print(f"audit: NOTHING WAS AUDITED: neither {' nor '.join(SERVICES)} gives advisories here ({CANARY} passes)")
        return AWAY
    for package in packages:
        if "skip_reason" in package:
            print(f"audit: not looked at: {package['name']}: {package['skip_reason']}")
    accepted = yaml.safe_load(ACCEPTED.read_text()) or []
    wrong = judge(packages, accepted, datetime.now(UTC).date())
    for line in wrong:
        print(f"audit: {line}")
    print(f"audit: {len(packages)} packages, by {service}: {len(wrong)} to mend, {len(accepted)} accepted")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
