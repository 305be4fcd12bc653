#!/usr/bin/env python3
"""What starting costs: seconds of `xanesml --help`, and calls to the file system of a rank and of a FEFF run.

python benchmarks/start_up.py

The calls are counted by strace, where it is installed: those that name a path, those of them that open a file, and
those that open a file of Python or its packages. A run is the difference of two and one.
"""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 11

COMMANDS = {
    "python -c pass (baseline)": [sys.executable, "-c", "pass"],
    "xanesml --help": [str(Path(sys.executable).with_name("xanesml")), "--help"],
}

#: Runs of FEFF10 on 13 atoms without self-consistency, from a server or each started by itself.
RUNS = """
import sys, tempfile
from pathlib import Path
from xanesml.feff.process import serve_runs
if sys.argv[1] == "served":
    serve_runs()
from mpi4py import MPI
from hpc.farming import simulate
from xanesml.campaign import Campaign
from xanesml.feff.engine import make_engine, run_feff
from xanesml.feff.outcomes import Outcome
from xanesml.store.plan import expand
campaign = Campaign.model_validate({
    "name": "start-up", "structure": {"atoms": 13}, "distortion": {"minimum": 0.0, "maximum": 0.01},
    "feff": {"scf": False, "corval": False, "fms_radius": 3.5},
})
table, engine = expand(campaign), make_engine(campaign.engine)
with tempfile.TemporaryDirectory() as folder:
    for _ in range(int(sys.argv[2])):
        assert run_feff(engine, Path(folder) / "run", *table.inputs(0)).outcome is Outcome.DONE
"""

_PYTHON = re.compile(r'"[^"]*(\.pyc?|site-packages[^"]*|/lib/python3[^"]*|pyvenv\.cfg)"')


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
    if shutil.which("strace") is None:
        print("\nno strace: calls are not counted")
        return
    print(f"\n{'calls':46s} {'with a path':>12s} {'opens':>8s} {'of Python':>10s}")
    started = [calls("started", count) for count in (0, 1, 2)]
    served = [calls("served", count) for count in (0, 1, 2)]
    show("a rank, without MPI's start by a launcher", started[0])
    show("its server, with its first run", less(served[1], started[0]))
    show("a run that is started (baseline)", less(started[2], started[1]))
    show("a run that the server forks", less(served[2], served[1]))


def calls(mode: str, runs: int) -> tuple[int, ...]:
    """Count the calls of a rank that makes some runs: with a path, opens, opens of Python's files."""
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace"
        strace = ["strace", "-f", "-qq", "-o", str(trace), "-e", "trace=%file"]
        subprocess.run([*strace, sys.executable, "-c", RUNS, mode, str(runs)], check=True)
        lines = [line for line in trace.read_text(errors="replace").splitlines() if "resumed>" not in line]
    opens = [line for line in lines if re.search(r"\bopen(at2?)?\(", line)]
    return len(lines), len(opens), sum(bool(_PYTHON.search(line)) for line in opens)


def less(larger: tuple[int, ...], smaller: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(one - other for one, other in zip(larger, smaller, strict=True))


def show(name: str, counts: tuple[int, ...]) -> None:
    print(f"{name:46s} {counts[0]:12,} {counts[1]:8,} {counts[2]:10,}")


if __name__ == "__main__":
    main()
