#!/usr/bin/env python3
"""Where the radial grid of phase shifts lies: jumps of a series along δ, and the distance from a finer grid.

    python benchmarks/phase_grid.py [--first -0.05] [--last 0.05] [--folder DIR]
    python benchmarks/phase_grid.py --series FEFFS SMOOTH

Structures of reference/au55.toml: 55 gold atoms, distorted in steps of 0.01 Å. Potentials are made once for each of
them; from these FEFF's `xsph` on its own grid (the baseline), on the grid that moves with the absorber's muffin-tin
radius, and on one three times as fine that does so, with the native multiple scattering after it. Second differences
along δ and distances are in edge steps: the largest over energy, from the edge to 45 eV behind it. Four minutes.

With two output folders of one series, on FEFF's grid (the baseline) and on the one that moves: their roughness, and
what the grid does to Gaussian averages and to the effect of 0.002 Å² of disorder.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
from pathlib import Path

import numpy as np
from feff_cases import heading, row, used, work_folder

from xanesml.averages.mesh import NORMALIZATION_OFFSET
from xanesml.feff.feff10 import NATIVE_FMS, NATIVE_POT, stage_command
from xanesml.feff.xmu import read_xmu
from xanesml.files.arrays import Floats
from xanesml.pools.environments import Environments, load_environments
from xanesml.pot.phase_grid import solve_stage
from xanesml.store.plan import load_campaign
from xanesml.store.reader import open_store

REFERENCE = Path(__file__).parents[1] / "reference" / "au55.toml"
BEFORE = ("rdinp", "xanesml-first", "atomic", NATIVE_POT, "xanesml-back")
AFTER = (NATIVE_FMS, "mkgtr", "path", "genfmt", "ff2x")
#: The step that each grid asks for, and whether it moves with the radius.
GRIDS = {"FEFF's": (0.03, False), "smooth": (0.03, True), "smooth, finer": (0.01, True)}
STEP = 0.01
#: Energies that are compared, eV from the edge.
COMPARED = np.arange(0.0, 45.0, 0.25)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=float, default=-0.05)
    parser.add_argument("--last", type=float, default=0.05)
    parser.add_argument("--series", nargs=2, type=Path, help="output folders, on FEFF's grid and on the smooth one")
    parser.add_argument("--folder", type=Path, help="where runs are kept for the next call")
    options = parser.parse_args()
    if options.series:
        averages(*options.series)
        return
    table = load_campaign(REFERENCE).tasks()
    delta = np.asarray(table.delta)[np.asarray(table.structure)]
    chosen = np.flatnonzero((delta > options.first - STEP / 2) & (delta < options.last + STEP / 2))
    made: dict[str, list[Floats]] = {name: [] for name in GRIDS}
    seconds: dict[str, list[float]] = {name: [] for name in GRIDS}
    with work_folder(options.folder) as folder:
        for task in chosen.tolist():
            for name, (spectrum, spent) in spectra(folder / f"{delta[task]:+.2f}", table.inputs(task)[0]).items():
                made[name].append(spectrum)
                seconds[name].append(spent)
    heading(
        "grid", "second differences along δ: median", "largest", "ratio of the largest", "RMS from the finer grid",
        "`xsph`, s of processor time",
    )  # fmt: skip
    finest = np.array(made["smooth, finer"])
    baseline = 0.0
    for name, spectra_of in made.items():
        mu = np.array(spectra_of)
        rough = np.abs(mu[2:] - 2 * mu[1:-1] + mu[:-2]).max(axis=1)
        baseline = baseline or float(rough.max())
        away = np.sqrt(((mu - finest) ** 2).mean())
        row(
            name, f"{np.median(rough):.4f}", f"{rough.max():.4f}", f"{baseline / rough.max():.1f}", f"{away:.4f}",
            f"{statistics.median(seconds[name]):.1f}",
        )  # fmt: skip


def averages(*folders: Path) -> None:
    """Compare two stores of one series."""
    found = [load_environments([folder], last=45.0, step=0.5) for folder in folders]
    with open_store(folders[0] / "store.h5") as store:
        delta = store.spectra().coordinates["delta"]
    heading("grid", "second differences along δ: median", "largest")
    for name, one in zip(GRIDS, found, strict=False):
        mu = (one.mu / one.step[:, np.newaxis])[:, one.energy >= 0]
        rough = np.abs(mu[2:] - 2 * mu[1:-1] + mu[:-2]).max(axis=1)
        row(name, f"{np.median(rough):.4f}", f"{rough.max():.4f}")
    print()
    heading("MSD, Å²", "averages apart, RMS", "effect of 0.002 Å² more on FEFF's grid", "on the smooth one", "ratio")
    for msd in (0.002, 0.004, 0.006, 0.008, 0.010, 0.012):
        made = [[_average(one, delta, each) for each in (msd, msd + 0.002)] for one in found]
        effects = [float(np.sqrt(((after - before) ** 2).mean())) for before, after in made]
        apart = np.sqrt(((made[1][0] - made[0][0]) ** 2).mean())
        row(msd, f"{apart:.4f}", *(f"{effect:.5f}" for effect in effects), f"{effects[1] / effects[0]:.2f}")


def _average(series: Environments, delta: Floats, msd: float) -> Floats:
    weights = np.exp(-(delta**2) / (2 * msd))
    return np.asarray((weights @ series.mu / (weights @ series.step))[series.energy >= 0])


def spectra(folder: Path, text: str) -> dict[str, tuple[Floats, float]]:
    """Return μ in edge steps on each grid, and the processor time of `xsph`, s, from runs that the folder keeps."""
    start = folder / "start"
    if not (start / "pot.bin").exists():
        shutil.rmtree(start, ignore_errors=True)
        start.mkdir(parents=True)
        (start / "feff.inp").write_text(text, encoding="utf-8")
        used(stage_command(start, *BEFORE), start)
    found = {}
    for name, (step, moves) in GRIDS.items():
        place = folder / name.replace("'", "").replace(", ", "-")
        if not (place / "seconds").exists():
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(start, place)
            _ask(place / "xsph.inp", step)
            if moves:
                solve_stage(place)
            spent = used(stage_command(place, "xsph"), place).cpu
            used(stage_command(place, *AFTER), place)
            (place / "seconds").write_text(f"{spent}\n", encoding="utf-8")
        spectrum = read_xmu(place / "xmu.dat")
        edge_step = np.interp(spectrum.edge + NORMALIZATION_OFFSET, spectrum.energy, spectrum.mu0)
        mu = np.interp(spectrum.edge + COMPARED, spectrum.energy, spectrum.mu) / edge_step
        found[name] = (mu, float((place / "seconds").read_text(encoding="utf-8")))
    return found


def _ask(path: Path, step: float) -> None:
    """Write the step that a grid asks for, in place of the usual one."""
    text = path.read_text(encoding="latin-1")
    if "      0.03000" not in text:
        raise SystemExit(f"{path}: the step of the grid is not 0.03, as it is with the reference cards")
    path.write_text(text.replace("      0.03000", f"      {step:.5f}", 1), encoding="latin-1")


if __name__ == "__main__":
    main()
