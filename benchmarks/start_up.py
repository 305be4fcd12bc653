#!/usr/bin/env python3
"""Seconds that `xanesml --help` takes, against an interpreter that does nothing.

python benchmarks/start_up.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 11

COMMANDS = {
    "python -c pass (baseline)": [sys.executable, "-c", "pass"],
    "xanesml --help": [str(Path(sys.executable).with_name("xanesml")), "--help"],
}


def main() -> None:
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    # In turn, so that a busy moment falls on both.
    for _ in range(ROUNDS):
        for name, command in COMMANDS.items():
            began = time.perf_counter()
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
            seconds[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    baseline = next(iter(medians.values()))
    print(f"{'command':28s} {'median, s':>10s} {'ratio':>6s}")
    for name, median in medians.items():
        print(f"{name:28s} {median:10.3f} {median / baseline:6.1f}")


if __name__ == "__main__":
    main()
