"""Where the time goes from the alarm to the new champion's first answer.

    make demo ARGS=--no-wait && python benchmarks/alarm_to_champion.py [runs/demo]

Reads the summary of a finished demo and the manifests of what its pipeline made; runs the demo if there is none. The
reach: orchestration (everything but the learning and the judging) under 20 %.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

LEARNING = ("retrain", "evaluate")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("runs/demo"))
    folder = parser.parse_args().folder
    if not (folder / "summary.json").is_file():
        subprocess.run([sys.executable, "-m", "parfocal", "demo", "--no-wait", "--out", str(folder)], check=True)
    summary = json.loads((folder / "summary.json").read_text())
    whole, steps, phases = (
        summary["alarm_to_champion"]["seconds"],
        summary["alarm_to_champion"]["steps"],
        summary["phases"],
    )
    if whole is None:
        sys.exit("that demo ended without a promotion, so there is nothing to measure")
    rows = {
        "alarm to the trigger's decision": phases["trigger"],
        "labelled cases handed in": phases["labels"],
        **{f"pipeline: {name}": seconds for name, seconds in steps.items()},
    }
    rows["everything else: launch, swap, polling"] = whole - sum(rows.values())
    for name, seconds in rows.items():
        print(f"{name:<40} {seconds:7.1f} s  {100 * seconds / whole:5.1f} %")
    print(f"{'alarm to the first answer of the champion':<40} {whole:7.1f} s")
    learning = sum(steps[name] for name in LEARNING)
    print(f"orchestration: {100 * (1 - learning / whole):.0f} % (reach: under 20 %)")


if __name__ == "__main__":
    main()
