#!/usr/bin/env python3
"""Time that a FEFF run takes from a rank beyond FEFF's own.

    python benchmarks/overhead.py [--structures N] [--seconds S]

`xanesml simulate` runs 13 tasks a structure by a program in FEFF's place, which sleeps and then
copies a valid output. The baseline is the same program as often from a shell's loop, one loop a
rank, before and after. What the farm takes more is overhead: writing feff.inp, starting the
program and finding out that it has ended, judging its output, writing the row, asking for the
next task. `in the run` is the part that falls into the seconds that the store has for a run. The
shares are of the reference campaign's runs, about 40 s, and of the demo's, about 5 s. Start-up
and closing come once a call and not with every run; they are listed by themselves.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
from mpi import mpirun

from xanesml.campaign import Campaign
from xanesml.feff.outcomes import Outcome
from xanesml.store.journal import journal_path
from xanesml.store.plan import expand

FAKE_FEFF = Path(__file__).resolve().parent.parent / "tests" / "fake_feff.py"
XANESML = str(Path(sys.executable).with_name("xanesml"))
REFERENCE, DEMO = 40.0, 5.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--structures", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=0.2)
    options = parser.parse_args()
    runs = 13 * options.structures
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = prepare(folder, options.structures, options.seconds)
        print(f"{'ranks':>5s} {'writer':>6s} {'loop, ms':>9s} {'simulate, ms':>13s} {'ratio':>6s}", end="")
        print(f" {'overhead, ms':>13s} {'in the run':>11s} {'of 40 s':>8s} {'of 5 s':>8s} {'start-up, s':>12s}")
        for ranks, writer in ((1, "mpio"), (2, "mpio"), (2, "root")):
            before = looped(folder, program, ranks, runs)
            farm, inside, start_up = simulated(folder, ranks, writer)
            loop = 0.5 * (before + looped(folder, program, ranks, runs))
            print(f"{ranks:5d} {writer:>6s} {1e3 * loop:9.1f} {1e3 * farm:13.1f} {farm / loop:6.3f}", end="")
            print(f" {1e3 * (farm - loop):13.1f} {1e3 * (inside - loop):11.1f}", end="")
            print(f" {(farm - loop) / REFERENCE:8.3%} {(farm - loop) / DEMO:8.3%} {start_up:12.2f}", flush=True)


def prepare(folder: Path, structures: int, seconds: float) -> list[str]:
    """Write the campaign, and a program that leaves the output of its first task for every task; return its words."""
    output = folder / "prepared"
    output.mkdir()
    disorder = {"structures": structures, "sigma_minimum": 0.05}
    text, _ = expand(Campaign.model_validate({"name": "overhead", "disorder": disorder})).inputs(0)
    (output / "feff.inp").write_text(text, encoding="utf-8")
    subprocess.run([sys.executable, str(FAKE_FEFF)], cwd=output, stdout=subprocess.DEVNULL, check=True)
    (output / "feff.inp").unlink()
    program = folder / "program.sh"
    program.write_text(f"sleep {seconds}\nexec cp {shlex.quote(str(output))}/* .\n", encoding="utf-8")
    (folder / "campaign.toml").write_text(
        'name = "overhead"\n[disorder]\n'
        + "".join(f"{key} = {value}\n" for key, value in disorder.items())
        + f'[engine]\nkind = "command"\ncommands = [["/bin/sh", {json.dumps(str(program))}]]\nversion = "1"\n'
        + '[feff]\nrepresentative = "nearest"\n',
        encoding="utf-8",
    )
    return ["/bin/sh", str(program)]


def looped(folder: Path, program: list[str], ranks: int, runs: int) -> float:
    """Return the seconds of one program in a shell's loop, with as many loops as ranks."""
    script = f"i=0; while [ $i -lt {runs // ranks} ]; do {shlex.join(program)}; i=$((i+1)); done"
    began = time.perf_counter()
    loops = []
    for rank in range(ranks):
        here = folder / f"loop-{rank}"
        here.mkdir(exist_ok=True)
        loops.append(subprocess.Popen(["/bin/sh", "-c", script], cwd=here))
    if any(loop.wait() for loop in loops):
        sys.exit("the program failed")
    return (time.perf_counter() - began) / (runs // ranks)


def simulated(folder: Path, ranks: int, writer: str) -> tuple[float, float, float]:
    """Return the seconds of a rank for one run, those in the store, and those of the call outside its runs."""
    output = folder / f"out-{ranks}-{writer}"
    campaign = str(folder / "campaign.toml")
    began = time.perf_counter()
    told = mpirun(ranks, XANESML, "simulate", campaign, "-o", str(output), "--writer", writer)
    elapsed = time.perf_counter() - began
    store = output / "store.h5"
    lines = journal_path(store).read_text(encoding="utf-8").splitlines()
    first, last = json.loads(lines[0]), json.loads(lines[-1])
    seconds = last["time"] - first["time"]
    with h5py.File(store) as file:
        if (file["runs/outcome"][:] != Outcome.DONE).any():
            sys.exit(f"not all runs are done:\n{told}")
        inside = file["runs/seconds"][:].mean()
    return ranks * seconds / first["pending"], inside, elapsed - seconds


if __name__ == "__main__":
    main()
