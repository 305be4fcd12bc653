#!/usr/bin/env python3
"""Reading and normalization of many spectra against xraylarch's own, on one core.

    python benchmarks/reading.py [--spectra N] [--rounds N]

Writes N XDI files and N plain tables of one gold foil with noise, each with counts as a beamline writes them, and
reads and normalizes them all: by xanesml, with all of its checks, and by xraylarch's `read_xdi` or `read_ascii` and
`pre_edge`. Prints the spectra a second of both and the ratio of their times. Exits with 1 where the ratio of either
format is above 1.5, or xanesml reads fewer than 20 spectra a second.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

# Before numpy is loaded: one core for both.
os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}

import larch
import larch.io
import larch.xafs
import numpy as np
from feff_cases import heading, row

from xanesml.measured import read_spectrum
from xanesml.measured.normalization import normalize

FOIL = Path(__file__).resolve().parent.parent / "examples" / "Au_Foil_L3_rt_2016Foils.xdi"
#: Largest ratio to xraylarch's time, and fewest spectra a second.
LARGEST_RATIO, FEWEST = 1.5, 20.0


def write(folder: Path, count: int) -> dict[str, list[Path]]:
    """Write the spectra in both formats."""
    foil = read_spectrum(FOIL)
    header = [line for line in FOIL.read_text().splitlines() if line.startswith("#")]
    files: dict[str, list[Path]] = {"xdi": [], "text": []}
    for number in range(count):
        i0 = 1e5 * (1 + 0.05 * np.sin(foil.energy / 40 + number))
        noise = 1e-3 * np.random.default_rng(number).standard_normal(foil.energy.size)
        rows = zip(foil.energy, i0 * np.exp(-foil.mu + noise), i0, strict=True)
        table = "".join(f"{energy:12.3f} {it:14.3f} {counts:14.3f}\n" for energy, it, counts in rows)
        for kind, top in (("xdi", "\n".join(header)), ("text", "# energy itrans i0")):
            path = folder / f"{number}.{kind}"
            path.write_text(f"{top}\n{table}")
            files[kind].append(path)
    return files


def by_xanesml(path: Path) -> None:
    normalize(read_spectrum(path, element="Au", edge="L3"))


def by_larch_xdi(path: Path) -> None:
    group = larch.io.read_xdi(str(path))
    larch.xafs.pre_edge(group.energy, group.mutrans, group=group)


def by_larch_text(path: Path) -> None:
    group = larch.io.read_ascii(str(path), labels="energy itrans i0")
    larch.xafs.pre_edge(group.energy, np.log(group.i0 / group.itrans), group=group)


def seconds(read: Callable[[Path], None], files: list[Path]) -> float:
    start = time.process_time()
    for path in files:
        read(path)
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spectra", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    failed = False
    heading("format", "xanesml, 1/s", "xraylarch, 1/s", "ratio of times")
    with tempfile.TemporaryDirectory() as folder:
        for kind, files in write(Path(folder), options.spectra).items():
            theirs = by_larch_xdi if kind == "xdi" else by_larch_text
            times = []
            for _ in range(options.rounds):
                # In turn, so that both meet the same moods of the machine.
                times.append((seconds(by_xanesml, files), seconds(theirs, files)))
            own, other = np.min(times, axis=0)
            row(kind, f"{len(files) / own:.0f}", f"{len(files) / other:.0f}", f"{own / other:.2f}")
            failed |= bool(own > LARGEST_RATIO * other or len(files) / own < FEWEST)
    sys.exit(failed)


if __name__ == "__main__":
    main()
