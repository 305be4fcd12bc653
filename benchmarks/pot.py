#!/usr/bin/env python3
"""Self-consistent potentials, native against FEFF's own: time, memory, and what they do to the spectrum.

    python benchmarks/pot.py [--case C] [--repeats N] [--folder DIR [--resume]]

The stage `pot` alone, in run folders that FEFF's stages rdinp and atomic have prepared with
the reference cards; the baseline is FEFF's own stage with the allocator settings. One
thread, both in turn, medians; the interpreter's start counts. With `--folder` the prepared
runs serve again, and with `--resume` a call goes on where an earlier one was broken off.

The deviation Δμ is the largest in the spectrum over the largest μ, after FEFF's xsph and the
native multiple scattering. Two loops that stop after different numbers of iterations differ by the
convergence error of either.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import numpy as np
from feff_cases import CASES, Record, Used, arguments, copied, heading, prepared, row, used, work_folder

from xanesml.feff.feff10 import stage_command
from xanesml.feff.xmu import read_xmu
from xanesml.pot.files import read_potentials
from xanesml.pot.inputs import HARTREE

BEFORE = ("rdinp", "atomic")
AFTER = ("xsph", "xanesml-fms", "mkgtr", "path", "genfmt", "ff2x")

# The native stage in a run's folder.
NATIVE = """
import sys
from pathlib import Path
from xanesml.pot.stage import solve_stage
solve_stage(Path(sys.argv[1]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options = arguments(parser, list(CASES))
    with work_folder(options.folder) as folder:
        record = Record(folder / "pot.jsonl", resume=options.resume)
        heading(
            "case", "iterations", "FEFF, s", "native, s", "ratio", "of CPU time", "peak, MiB", "Δ Fermi level, eV", "Δμ"
        )
        for case in options.case:
            compare(folder, case, options.repeats, record)


def compare(folder: Path, case: str, repeats: int, record: Record) -> None:
    """Measure both ways and print the row of a case."""
    start = prepared(folder, case, *BEFORE)
    ways = ("feff", "native")
    record.in_turn(repeats, {(case, way): lambda way=way: run_stage(start, way) for way in ways})
    places = [start.with_name(way) for way in ways]
    for way, place in zip(ways, places, strict=True):
        if not (place / "pot.bin").exists():
            run_stage(start, way)
        used(stage_command(place, *AFTER), place)
    mu, other = (read_xmu(place / "xmu.dat").mu for place in places)
    levels = [read_potentials(place / "pot.bin").scalars[1] * HARTREE for place in places]
    logs = [(place / "log1.dat").read_text(encoding="latin-1") for place in places]
    iterations = [re.findall(r"Convergence reached in +(\d+)", log)[0] for log in logs]
    feff, native = (record.median(case, way) for way in ways)
    row(
        case,
        " / ".join(iterations),
        f"{feff.seconds:.2f}",
        f"{native.seconds:.2f}",
        f"{feff.seconds / native.seconds:.1f}",
        f"{feff.cpu / native.cpu:.1f}",
        f"{feff.memory:.0f} / {native.memory:.0f}",
        f"{levels[1] - levels[0]:.1e}",
        f"{np.abs(other - mu).max() / mu.max():.1e}",
    )


def run_stage(start: Path, way: str) -> Used:
    place = copied(start, way)
    command = stage_command(place, "pot") if way == "feff" else [sys.executable, "-c", NATIVE, str(place)]
    return used(command, place)


if __name__ == "__main__":
    main()
