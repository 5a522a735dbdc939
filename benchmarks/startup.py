"""How long `parfocal --help` takes, whole process, beside a bare Python and beside `import torch`."""

import statistics
import subprocess
import sys
import time

ENTRANTS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "parfocal --help": [sys.executable, "-m", "parfocal", "--help"],
    "import torch": [sys.executable, "-c", "import torch"],
}
ROUNDS = 5


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    times = {name: [] for name in ENTRANTS}
    for _ in range(ROUNDS):
        for name, command in ENTRANTS.items():
            times[name].append(seconds(command))
    ours = statistics.median(times["parfocal --help"])
    for name, values in times.items():
        print(f"{name:<18} {statistics.median(values):6.3f} s   {statistics.median(values) / ours:5.1f} x ours")


if __name__ == "__main__":
    main()
